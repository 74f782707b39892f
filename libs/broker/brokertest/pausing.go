package brokertest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
)

var pausing = []theme{
	{name: "an outage counts no delivery and never fills the dead letters", test: outage},
	{name: "a paused subscriber takes one event at a time, ever more slowly, until one ends otherwise", test: slows},
}

func outage(t *testing.T, h *bench) {
	const n = 10
	most := h.deliveries(2)
	var (
		away   atomic.Bool
		probes = make(chan struct{}, 10_000)
		acked  = make(chan int, n)
	)
	away.Store(true)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 4, MaxDeliveries: most}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		if away.Load() {
			probes <- struct{}{}
			return broker.Pause("the API is away")
		}
		acked <- d.Attempt
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), many(n, "e")...)
	// More deliveries fail than all the events together may have.
	for range 4 + most {
		next(t, probes, "deliveries during the outage")
	}
	away.Store(false)
	for range n {
		if attempt := next(t, acked, "every event after the outage"); attempt != 1 {
			t.Fatalf("attempt %d, but a pause counts no delivery", attempt)
		}
	}
	if dead := listed(t, h, subscription); len(dead) > 0 {
		t.Fatalf("the outage left dead letters: %+v", dead)
	}
}

func slows(t *testing.T, h *bench) {
	const n, most = 20, 4
	var (
		away    atomic.Bool
		begun   atomic.Int64
		running tally
		probes  = make(chan time.Time, 10_000)
		acked   = make(chan struct{}, n)
		clashes atomic.Int64
	)
	away.Store(true)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: most}), func(context.Context, broker.Delivery) broker.Outcome {
		if !away.Load() {
			acked <- struct{}{}
			return broker.Ack()
		}
		defer running.add("handlers", -1)
		// Those that were out when the first one paused may run together.
		if running.add("handlers", 1) > 1 && begun.Load() >= most {
			clashes.Add(1)
		}
		begun.Add(1)
		probes <- time.Now()
		time.Sleep(20 * time.Millisecond)
		return broker.Pause("the API is away")
	})
	publish(t, h.Publisher(topic), many(n, "e")...)
	var at []time.Time
	for range most + 3 {
		at = append(at, next(t, probes, "deliveries during the outage"))
	}
	// Twice doubled, and jitter takes at most half away.
	const least = 4 * dispatch.DefaultFirstPause / 2
	if late := at[most+2].Sub(at[most+1]); late < least {
		t.Errorf("the third probe came %s after the second, want at least %s: ever slower", late, least)
	}
	away.Store(false)
	for range n {
		next(t, acked, "every event after the outage")
	}
	if clashes.Load() > 0 {
		t.Errorf("%d deliveries at once with another during the pause", clashes.Load())
	}
}
