package brokertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var concurrency = []theme{
	{name: "as many handlers run at once as allowed, and never more", test: bounded},
	{name: "one resource is never handled twice at once", test: neverTwice},
	{name: "events of a busy resource keep no other waiting", test: busyBlocksNobody},
}

func bounded(t *testing.T, h *bench) {
	const most, n = 3, 12
	var (
		running tally
		begun   = make(chan int, n)
		release = make(chan struct{})
	)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: most}), func(context.Context, broker.Delivery) broker.Outcome {
		begun <- running.add("handlers", 1)
		<-release
		running.add("handlers", -1)
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), many(n, "e")...)
	for range most {
		next(t, begun, "as many handlers as allowed")
	}
	none(t, begun, "one handler more than allowed began")
	close(release)
	for range n - most {
		if at := next(t, begun, "the other events"); at > most {
			t.Fatalf("%d handlers at once, want at most %d", at, most)
		}
	}
}

func neverTwice(t *testing.T, h *bench) {
	const n, subjects = 60, 4
	for round := range rounds(t) {
		var (
			r       = rand.New(rand.NewPCG(uint64(round), 2))
			running tally
			acked   = make(chan string, n)
			clashes = make(chan string, 10*n)
		)
		stop := receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 8, MaxDeliveries: 100}), func(_ context.Context, d broker.Delivery) broker.Outcome {
			subject := d.Event.Subject()
			if running.add(subject, 1) > 1 {
				clashes <- subject
			}
			time.Sleep(time.Millisecond)
			running.add(subject, -1)
			if d.Attempt == 1 && len(d.Event.ID())%2 == 0 {
				return broker.Retry(0)
			}
			acked <- d.Event.ID()
			return broker.Ack()
		})
		p := h.Publisher(topic)
		for i := range n {
			publish(t, p, sample(fmt.Sprintf("e-%d", i), fmt.Sprintf("subject-%d", r.IntN(subjects))))
		}
		for range n {
			next(t, acked, "every event")
		}
		stop()
		if len(clashes) > 0 {
			t.Fatalf("round %d: %s and %d more were handled twice at once", round, <-clashes, len(clashes))
		}
	}
}

func busyBlocksNobody(t *testing.T, h *bench) {
	const queued, others = 4, 5
	var (
		busy    = make(chan string, queued)
		release = make(chan struct{})
		flowed  = make(chan string, others)
	)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 2}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		if d.Event.Subject() == "busy" {
			busy <- d.Event.ID()
			<-release
			return broker.Ack()
		}
		flowed <- d.Event.ID()
		return broker.Ack()
	})
	p := h.Publisher(topic)
	for i := range queued {
		publish(t, p, sample(fmt.Sprintf("busy-%d", i), "busy"))
	}
	next(t, busy, "the first event of the busy resource")
	publish(t, p, many(others, "other")...)
	for range others {
		next(t, flowed, "the others, while the resource is busy")
	}
	none(t, busy, "a second event of the busy resource began")
	close(release)
	for range queued - 1 {
		next(t, busy, "the busy resource's other events")
	}
}
