package brokertest

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var deliveries = []theme{
	{name: "an event whose handler crashed comes again, and the delivery counts", test: crashed},
	{name: "every event is handled at last, whatever handlers do", test: atLeastOnce},
}

func crashed(t *testing.T, h *bench) {
	got := make(chan int, 10)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Attempt
		switch d.Attempt {
		case 1:
			panic("boom")
		case 2:
			runtime.Goexit()
		}
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), sample("a", "s"))
	for want := 1; want <= 3; want++ {
		if attempt := next(t, got, "the next delivery"); attempt != want {
			t.Fatalf("attempt %d, want %d", attempt, want)
		}
	}
	none(t, got, "the acknowledged event came again")
}

// atLeastOnce lets handlers retry, pause, crash and stop at random.
func atLeastOnce(t *testing.T, h *bench) {
	const n = 40
	for round := range rounds(t) {
		var (
			r       = rand.New(rand.NewPCG(uint64(round), 1))
			choices = make(chan int, 10_000)
			acked   = make(chan string, n)
			s       = h.Subscriber(topic, subscription, broker.Limits{Concurrency: 4, MaxDeliveries: 1000})
		)
		for range cap(choices) {
			choices <- r.IntN(12)
		}
		handler := func(_ context.Context, d broker.Delivery) broker.Outcome {
			switch <-choices {
			case 0:
				return broker.Retry(time.Duration(len(choices)%5) * time.Millisecond)
			case 1:
				return broker.Retry(0)
			case 2:
				panic("boom")
			case 3:
				if len(choices)%4 == 0 {
					return broker.Pause("the weather")
				}
			}
			acked <- d.Event.ID()
			return broker.Ack()
		}
		stop := receive(t, s, handler)
		p := h.Publisher(topic)
		missing := map[string]bool{}
		for i, e := range many(n, "e") {
			publish(t, p, e)
			missing[e.ID()] = true
			if i%10 == 9 {
				stop()
				stop = receive(t, s, handler)
			}
		}
		for range n {
			id := next(t, acked, "every event")
			if !missing[id] {
				t.Fatalf("round %d: %s was acknowledged twice", round, id)
			}
			delete(missing, id)
		}
		stop()
		if dead := listed(t, h, subscription); len(dead) > 0 {
			t.Fatalf("round %d: %d dead letters, the first because %s", round, len(dead), dead[0].Reason)
		}
	}
}
