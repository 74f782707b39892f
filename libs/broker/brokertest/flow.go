package brokertest

import (
	"context"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// writers is how many callers publish at once.
const writers = 32

// publishAll publishes events as many callers do at once.
func publishAll(t *testing.T, p broker.Publisher, events []event.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	for id, err := range concurrently(ctx, p, events, nil) {
		if err != nil {
			t.Fatalf("publish %s: %v", id, err)
		}
	}
}

// concurrently publishes events by many callers and returns what Publish said
// of each; done, if there is one, hears of each that was confirmed.
func concurrently(ctx context.Context, p broker.Publisher, events []event.Event, done chan<- string) map[string]error {
	type answer struct {
		id  string
		err error
	}
	work, answers := make(chan event.Event), make(chan answer)
	for range writers {
		go func() {
			for e := range work {
				err := p.Publish(ctx, e)
				if err == nil && done != nil {
					done <- e.ID()
				}
				answers <- answer{e.ID(), err}
			}
		}()
	}
	go func() {
		defer close(work)
		for _, e := range events {
			work <- e
		}
	}()
	said := make(map[string]error, len(events))
	for range events {
		a := <-answers
		said[a.id] = a.err
	}
	return said
}

// flow is a publisher with many callers and a subscriber that acknowledges,
// while something goes wrong.
type flow struct {
	publisher broker.Publisher
	confirmed chan string // ids, as Publish returns
	received  chan string // ids, as handlers see them
	answered  chan map[string]error
	prefix    string
}

// newFlow subscribes under a name of its own, and acknowledges what comes.
func newFlow(t *testing.T, h *bench, name string) *flow {
	t.Helper()
	f := &flow{prefix: name, received: make(chan string, 10_000), answered: make(chan map[string]error, 1)}
	receive(t, h.Subscriber(topic+"."+name, name, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		f.received <- d.Event.ID()
		return broker.Ack()
	})
	f.publisher = h.Publisher(topic + "." + name)
	return f
}

// publish begins to publish n events.
func (f *flow) publish(t *testing.T, n int) {
	t.Helper()
	f.confirmed = make(chan string, n)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*ceiling)
	t.Cleanup(cancel)
	go func() { f.answered <- concurrently(ctx, f.publisher, many(n, f.prefix), f.confirmed) }()
}

// some waits until n more events are confirmed.
func (f *flow) some(t *testing.T, n int) {
	t.Helper()
	for range n {
		next(t, f.confirmed, "events to be confirmed")
	}
}

// finish waits for every Publish, which must have succeeded, and for every event.
func (f *flow) finish(t *testing.T) {
	t.Helper()
	var said map[string]error
	select {
	case said = <-f.answered:
	case <-time.After(2*ceiling + time.Second):
		t.Fatal("Publish did not return")
	}
	missing := map[string]bool{}
	for id, err := range said {
		if err != nil {
			t.Fatalf("publish %s: %v", id, err)
		}
		missing[id] = true
	}
	for len(missing) > 0 {
		select {
		case id := <-f.received:
			delete(missing, id)
		case <-time.After(ceiling):
			t.Fatalf("%d of %d events that were reported as sent never came", len(missing), len(said))
		}
	}
}
