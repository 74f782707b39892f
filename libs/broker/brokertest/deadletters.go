package brokertest

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var deadLetters = []theme{
	{name: "a rejected event goes to the dead letters at once, with the reason", test: rejected},
	{name: "an event that fails again and again goes to the dead letters while its neighbours flow", test: limited},
	{name: "a crash that repeats ends in the dead letters and says why", test: crashLoop},
	{name: "a dead letter that cannot be stored yet is not lost", test: unburied, needs: []Capability{Unburying}},
	{name: "dead letters belong to one subscription alone", test: deadAlone},
	{name: "a reason of any size goes with its dead letter, cut, and keeps no other event waiting", test: longReason},
}

func rejected(t *testing.T, h *bench) {
	got := make(chan int, 10)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Attempt
		return broker.Reject("no such resource type: pods")
	})
	before := time.Now()
	publish(t, h.Publisher(topic), sample("bad", "s"))
	next(t, got, "the delivery")
	dead := buried(t, h, 1)
	if len(dead) != 1 || dead[0].Event.ID() != "bad" || dead[0].Reason != "no such resource type: pods" || dead[0].Deliveries != 1 {
		t.Fatalf("dead letters %+v", dead)
	}
	if d := dead[0]; d.First.Before(before.Add(-time.Second)) || d.Last.Before(d.First) {
		t.Fatalf("first failure %s, last %s, published %s", d.First, d.Last, before)
	}
	none(t, got, "the rejected event came again")
}

func limited(t *testing.T, h *bench) {
	const neighbours = 30
	var (
		most     = h.deliveries(3)
		attempts = make(chan int, 100)
		flowed   = make(chan string, neighbours)
	)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 2, MaxDeliveries: most}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		if d.Event.ID() == "poison" {
			attempts <- d.Attempt
			return broker.Retry(50 * time.Millisecond)
		}
		flowed <- d.Event.ID()
		return broker.Ack()
	})
	p := h.Publisher(topic)
	publish(t, p, sample("poison", "s"))
	publish(t, p, many(neighbours, "e")...)
	for range neighbours {
		next(t, flowed, "the neighbours")
	}
	for want := 1; want <= most; want++ {
		if a := next(t, attempts, "the poison's deliveries"); a != want {
			t.Fatalf("attempt %d, want %d", a, want)
		}
	}
	dead := buried(t, h, 1)
	if len(dead) != 1 || dead[0].Event.ID() != "poison" || dead[0].Deliveries != most || dead[0].Reason == "" {
		t.Fatalf("dead letters %+v", dead)
	}
	none(t, attempts, "the poison came again")
}

func crashLoop(t *testing.T, h *bench) {
	most := h.deliveries(2)
	attempts := make(chan int, 100)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{MaxDeliveries: most}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		attempts <- d.Attempt
		panic("nil map")
	})
	publish(t, h.Publisher(topic), sample("poison", "s"))
	for range most {
		next(t, attempts, "a delivery")
	}
	if dead := buried(t, h, 1); dead[0].Deliveries != most || !strings.Contains(dead[0].Reason, "nil map") {
		t.Fatalf("dead letters %+v", dead)
	}
	none(t, attempts, "the poison came again")
}

func deadAlone(t *testing.T, h *bench) {
	acked := make(chan string, 1)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(context.Context, broker.Delivery) broker.Outcome {
		return broker.Reject("not for me")
	})
	receive(t, h.Subscriber(topic, "healthy-sub", broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		acked <- d.Event.ID()
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), sample("a", "s"))
	next(t, acked, "the event on the other subscription")
	buried(t, h, 1)
	if dead := listed(t, h, "healthy-sub"); len(dead) > 0 {
		t.Fatalf("the other subscription has dead letters: %+v", dead)
	}
}

func unburied(t *testing.T, h *bench) {
	s := h.Subscriber(topic, subscription, broker.Limits{})
	publish(t, h.Publisher(topic), sample("bad", "s"))
	dig := h.unbury()
	got := make(chan string, 100)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Reject("no use")
	})
	next(t, got, "the delivery")
	dig()
	if dead := buried(t, h, 1); dead[0].Event.ID() != "bad" || dead[0].Reason != "no use" {
		t.Fatalf("dead letters %+v", dead)
	}
}

// longReason gives reasons up to sizes that no broker takes beside an event.
func longReason(t *testing.T, h *bench) {
	var (
		most   = h.deliveries(2)
		flowed = make(chan string, 100)
		reason = strings.Repeat("é", 500_000)
	)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{MaxDeliveries: most}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		switch id := d.Event.ID(); {
		case id == "rejected":
			return broker.Reject(reason)
		case id == "retried":
			return broker.Outcome{Kind: broker.Retried, Reason: reason}
		case d.Attempt == 1:
			return broker.Outcome{Kind: broker.Retried, After: time.Millisecond, Reason: reason[:100_000]}
		default:
			flowed <- id
			return broker.Ack()
		}
	})
	p := h.Publisher(topic)
	publish(t, p, sample("rejected", "a"), sample("retried", "b"), sample("neighbour", "c"))
	next(t, flowed, "the neighbour")
	for _, d := range buried(t, h, 2) {
		if len(d.Reason) > broker.MostReason || !utf8.ValidString(d.Reason) || !strings.Contains(d.Reason, "éééé") {
			t.Errorf("the reason of %s has %d bytes: %.50q", d.ID(), len(d.Reason), d.Reason)
		}
	}
	publish(t, p, sample("later", "d"))
	next(t, flowed, "a later event")
}
