package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var order = []theme{
	{name: "events of one resource are handled in the order in which they were published", test: inOrder, needs: []Capability{Ordering}},
}

func inOrder(t *testing.T, h *bench) {
	const n, subjects = 30, 3
	type seen struct{ subject, id string }
	got := make(chan seen, n*subjects)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{Concurrency: 8}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		time.Sleep(time.Millisecond) // gives a later one the chance to overtake
		got <- seen{d.Event.Subject(), d.Event.ID()}
		return broker.Ack()
	})
	p := h.Publisher(topic)
	for i := range n {
		for s := range subjects {
			subject := fmt.Sprintf("subject-%d", s)
			publish(t, p, sample(fmt.Sprintf("%s-%03d", subject, i), subject))
		}
	}
	last := map[string]string{}
	for range n * subjects {
		e := next(t, got, "every event")
		if e.id <= last[e.subject] {
			t.Fatalf("%s was handled after %s", e.id, last[e.subject])
		}
		last[e.subject] = e.id
	}
}
