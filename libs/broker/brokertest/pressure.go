package brokertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var pressure = []theme{
	{name: "a full subscription makes publishers wait, and only so long as their context lets them", test: fullWaits, needs: []Capability{Bounding}},
	{name: "a publisher that closes waits for what is not confirmed", test: closeWaits, needs: []Capability{Bounding}},
}

// fill publishes until the subscription, bound to hold the given number of
// events, takes no more, and returns how many it took, and the id of the one
// that it did not: brokers that count late take a few too many.
func fill(t *testing.T, p broker.Publisher, bound int) (stored int, refused string) {
	t.Helper()
	const late = 20
	for ; stored <= bound+late; stored++ {
		ctx, cancel := context.WithTimeout(t.Context(), quiet)
		id := fmt.Sprintf("filler-%d", stored)
		err := p.Publish(ctx, sample(id, id))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return stored, id
		}
		if err != nil {
			t.Fatalf("Publish to a full subscription gave %v, want the context's end", err)
		}
	}
	t.Fatalf("a subscription bound to %d events took %d", bound, stored)
	return 0, ""
}

func fullWaits(t *testing.T, h *bench) {
	h.bound(3)
	s := h.Subscriber(topic, subscription, broker.Limits{Concurrency: 1})
	p := h.Publisher(topic)
	stored, refused := fill(t, p, 3)
	published := make(chan error, 1)
	go func() { published <- p.Publish(t.Context(), sample("patient", "y")) }()
	none(t, published, "Publish to a full subscription returned")

	got := make(chan string, 10)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	})
	if err := next(t, published, "Publish to return once there is room"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range stored + 1 {
		seen[next(t, got, "the events")] = true
	}
	if !seen["patient"] || seen[refused] {
		t.Fatalf("received %v", seen)
	}
}

func closeWaits(t *testing.T, h *bench) {
	h.bound(1)
	s := h.Subscriber(topic, subscription, broker.Limits{})
	p := h.Publisher(topic)
	stored, _ := fill(t, p, 1)
	published, closed := make(chan error, 1), make(chan error, 1)
	go func() { published <- p.Publish(t.Context(), sample("second", "s")) }()
	none(t, published, "Publish to a full subscription returned")

	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if err := p.Close(ctx); err == nil {
		t.Fatal("Close returned without an error though an event was not confirmed")
	}
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), ceiling)
		defer cancel()
		closed <- p.Close(ctx)
	}()
	none(t, closed, "Close returned before the event was confirmed")
	got := make(chan string, 10)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	})
	if err := errors.Join(next(t, published, "Publish"), next(t, closed, "Close")); err != nil {
		t.Fatal(err)
	}
	for i := range stored + 1 {
		next(t, got, fmt.Sprintf("event %d", i+1))
	}
}
