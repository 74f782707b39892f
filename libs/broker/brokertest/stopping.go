package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var stopping = []theme{
	{name: "a subscriber that stops waits for its handlers and settles what they return", test: drains},
	{name: "what nobody settled waits for the next Receive, uncounted", test: waits},
	{name: "stopping over and over loses nothing", test: stopsLoseNothing},
}

func drains(t *testing.T, h *bench) {
	var (
		s       = h.Subscriber(topic, subscription, broker.Limits{Concurrency: 1})
		begun   = make(chan context.Context, 1)
		release = make(chan struct{})
		ended   = make(chan error, 1)
	)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- s.Receive(ctx, func(ctx context.Context, _ broker.Delivery) broker.Outcome {
			begun <- ctx
			<-release
			return broker.Ack()
		})
	}()
	publish(t, h.Publisher(topic), sample("a", "s"))
	handling := next(t, begun, "the delivery")
	cancel()
	none(t, ended, "Receive returned while its handler ran")
	if handling.Err() != nil {
		t.Fatal("the handler's context ended with the subscriber's")
	}
	close(release)
	if err := next(t, ended, "Receive to return"); err != nil {
		t.Fatalf("Receive: %v", err)
	}
	again := make(chan string, 1)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		again <- d.Event.ID()
		return broker.Ack()
	})
	none(t, again, "the acknowledgement was lost with the stop")
}

func waits(t *testing.T, h *bench) {
	const n = 10
	var (
		s       = h.Subscriber(topic, subscription, broker.Limits{Concurrency: 1})
		first   = make(chan string, n)
		release = make(chan struct{})
	)
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		first <- d.Event.ID()
		<-release
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), many(n, "e")...)
	handled := next(t, first, "the first delivery")
	time.AfterFunc(quiet, func() { close(release) })
	stop() // ends the subscriber while the handler runs
	if len(first) > 0 {
		t.Fatal("another handler began after the stop")
	}
	rest := make(chan broker.Delivery, n)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		rest <- d
		return broker.Ack()
	})
	for range n - 1 {
		d := next(t, rest, "the rest")
		if d.Event.ID() == handled {
			t.Fatalf("%s was acknowledged and came again", handled)
		}
		if d.Attempt != 1 {
			t.Fatalf("%s: attempt %d, but nobody had handled it", d.Event.ID(), d.Attempt)
		}
	}
	none(t, rest, "an event came twice")
}

func stopsLoseNothing(t *testing.T, h *bench) {
	const n = 30
	for round := range rounds(t) {
		s := h.Subscriber(topic, subscription, broker.Limits{Concurrency: 4})
		publish(t, h.Publisher(topic), many(n, "e")...)
		acked, seen := make(chan string, 10*n), map[string]bool{}
		for len(seen) < n {
			stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
				time.Sleep(time.Millisecond)
				acked <- d.Event.ID()
				return broker.Ack()
			})
			id := next(t, acked, fmt.Sprintf("round %d: the %d events that nobody handled", round, n-len(seen)))
			stop() // in the middle of the others
			for seen[id] = true; len(acked) > 0; {
				seen[<-acked] = true
			}
		}
	}
}
