package brokertest

import (
	"context"
	"errors"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var routing = []theme{
	{name: "an event reaches every subscription of its topic and no other", test: fanOut},
	{name: "an event published before anybody receives is kept", test: keptBefore},
	{name: "subscribers of one subscription share its events", test: shared},
	{name: "an event that reaches no subscription is unroutable", test: unroutable},
	{name: "a closed publisher says so", test: closed},
}

func fanOut(t *testing.T, h *bench) {
	got := map[string]chan string{}
	for _, name := range []string{"one", "two", "three"} {
		c := make(chan string, 10)
		got[name] = c
		receive(t, h.Subscriber(topic, name, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
			c <- d.Event.ID()
			return broker.Ack()
		})
	}
	stranger := make(chan string, 10)
	receive(t, h.Subscriber(topic+".other", "other", broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		stranger <- d.Event.ID()
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), sample("a", "s"))
	for name, c := range got {
		if id := next(t, c, "the event on "+name); id != "a" {
			t.Fatalf("%s got %s", name, id)
		}
	}
	none(t, stranger, "a subscription of another topic got the event")
	for name, c := range got {
		none(t, c, name+" got the acknowledged event again")
	}
}

func keptBefore(t *testing.T, h *bench) {
	s := h.Subscriber(topic, subscription, broker.Limits{})
	publish(t, h.Publisher(topic), sample("early", "s"))
	got := make(chan string, 1)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	})
	if id := next(t, got, "the event published before"); id != "early" {
		t.Fatalf("got %s", id)
	}
}

func shared(t *testing.T, h *bench) {
	const n = 50
	got := make(chan string, 2*n)
	handler := func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	}
	for range 2 {
		receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 2}), handler)
	}
	publish(t, h.Publisher(topic), many(n, "e")...)
	seen := map[string]bool{}
	for range n {
		id := next(t, got, "every event once")
		if seen[id] {
			t.Fatalf("%s came twice", id)
		}
		seen[id] = true
	}
	none(t, got, "an acknowledged event came again")
}

func unroutable(t *testing.T, h *bench) {
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	if err := h.Publisher(topic).Publish(ctx, sample("lost", "s")); !errors.Is(err, broker.ErrUnroutable) {
		t.Fatalf("Publish gave %v, want ErrUnroutable", err)
	}
}

func closed(t *testing.T, h *bench) {
	h.Subscriber(topic, subscription, broker.Limits{})
	p := h.Publisher(topic)
	publish(t, p, sample("a", "s"))
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	for range 2 {
		if err := p.Close(ctx); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if err := p.Publish(ctx, sample("b", "s")); !errors.Is(err, broker.ErrClosed) {
		t.Fatalf("Publish after Close gave %v, want ErrClosed", err)
	}
}
