package brokertest

import (
	"context"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var retries = []theme{
	{name: "a retried event comes again, not before its time", test: retried, needs: []Capability{RetryDelay}},
	{name: "a retry keeps no other event waiting", test: retryBlocksNobody, needs: []Capability{RetryDelay}},
	{name: "a retry that finds its subscription full is not lost", test: retryIntoFull, needs: []Capability{RetryDelay, Bounding}},
	{name: "a burst of retries loses and doubles nothing", test: retryBurst},
}

func retried(t *testing.T, h *bench) {
	const after = 700 * time.Millisecond
	type delivery struct {
		attempt int
		at      time.Time
	}
	got := make(chan delivery, 10)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- delivery{d.Attempt, time.Now()}
		if d.Attempt == 1 {
			return broker.Retry(after)
		}
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), sample("a", "s"))
	first := next(t, got, "the first delivery")
	second := next(t, got, "the second delivery")
	if first.attempt != 1 || second.attempt != 2 {
		t.Fatalf("attempts %d and %d, want 1 and 2", first.attempt, second.attempt)
	}
	if passed := second.at.Sub(first.at); passed < after {
		t.Fatalf("the event came again after %s, want at least %s", passed, after)
	}
	none(t, got, "the acknowledged event came again")
}

func retryBlocksNobody(t *testing.T, h *bench) {
	done := make(chan string, 20)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 1}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		if d.Event.ID() == "late" && d.Attempt == 1 {
			return broker.Retry(2 * time.Second)
		}
		done <- d.Event.ID()
		return broker.Ack()
	})
	p := h.Publisher(topic)
	publish(t, p, sample("late", "s"))
	publish(t, p, many(5, "e")...)
	for range 5 {
		if id := next(t, done, "the other events"); id == "late" {
			t.Fatal("the other events waited for the retry")
		}
	}
	if id := next(t, done, "the retried event"); id != "late" {
		t.Fatalf("got %s", id)
	}
}

func retryIntoFull(t *testing.T, h *bench) {
	h.bound(1)
	s := h.Subscriber(topic, subscription, broker.Limits{Concurrency: 1})
	p := h.Publisher(topic)
	begun := make(chan string, 10)
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		begun <- d.Event.ID()
		return broker.Retry(quiet)
	})
	publish(t, p, sample("retried", "s"))
	next(t, begun, "the delivery")
	stop()
	stored, _ := fill(t, p, 1)
	// The retry's time comes while nobody receives: it has come once one that
	// waits as long, and began later, is through.
	passed := make(chan int, 2)
	receive(t, h.Subscriber("witness", "witness", broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		passed <- d.Attempt
		if d.Attempt == 1 {
			return broker.Retry(quiet)
		}
		return broker.Ack()
	})
	publish(t, h.Publisher("witness"), sample("witness", "witness"))
	next(t, passed, "the witness")
	next(t, passed, "the witness again")

	acked := make(chan string, 100)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		acked <- d.Event.ID()
		return broker.Ack()
	})
	seen := map[string]bool{}
	for len(seen) < stored+1 {
		seen[next(t, acked, "every event")] = true
	}
	if !seen["retried"] {
		t.Fatalf("received %v", seen)
	}
}

// retryBurst lets every event fail at once, as a deployment that went wrong does.
func retryBurst(t *testing.T, h *bench) {
	const n = 200
	var (
		failures tally
		acked    = make(chan string, 2*n)
	)
	most := h.deliveries(3)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 32, MaxDeliveries: most}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		if failures.add(d.Event.ID(), 1) < most {
			return broker.Retry(0)
		}
		acked <- d.Event.ID()
		return broker.Ack()
	})
	p := h.Publisher(topic)
	publishAll(t, p, many(n, "e"))
	seen := map[string]bool{}
	for range n {
		id := next(t, acked, "every event")
		if seen[id] {
			t.Fatalf("%s was acknowledged twice", id)
		}
		seen[id] = true
	}
	if dead := listed(t, h, subscription); len(dead) > 0 {
		t.Fatalf("%d dead letters, the first because %s", len(dead), dead[0].Reason)
	}
}
