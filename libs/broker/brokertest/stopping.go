package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// stopTime is how long a process has to stop.
const stopTime = 10 * time.Second

var stopping = []theme{
	{name: "a subscriber that stops waits for its handlers and settles what they return", test: drains},
	{name: "what nobody settled waits for the next Receive, uncounted", test: waits},
	{name: "stopping over and over loses nothing", test: stopsLoseNothing},
	{name: "a stop while the broker is silent takes no longer than a process has", test: stopsInSilence, needs: []Capability{Freezing}},
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
	noneFor(t, h.lease+quiet, again, "the acknowledgement was lost with the stop")
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
	none(t, first, "a second handler began beside the first") // long enough to fetch more
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
	noneFor(t, h.lease+quiet, rest, "an event came twice")
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

// stopsInSilence stops one subscriber that must store a retry, one that has
// nothing to do, one that connects, and a publisher with an event under way.
func stopsInSilence(t *testing.T, h *bench) {
	var (
		busy    = h.Subscriber(topic, subscription, broker.Limits{})
		idle    = h.Subscriber("idle", "idle", broker.Limits{})
		late    = h.Subscriber("late", "late", broker.Limits{})
		begun   = make(chan string, 2)
		release = make(chan struct{})
		stopped = make(chan string, 4)
		p       = h.Publisher(topic)
	)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	run := func(name string, s broker.Subscriber) {
		go func() {
			if err := s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
				begun <- d.Event.ID()
				<-release
				return broker.Retry(0)
			}); err != nil {
				t.Error(err)
			}
			stopped <- name
		}()
	}
	run("the busy subscriber", busy)
	run("the idle subscriber", idle)
	publish(t, p, sample("a", "s"))
	publish(t, h.Publisher("idle"), sample("b", "s"))
	next(t, begun, "the first delivery")
	next(t, begun, "the second delivery")
	thaw := h.freezer().Freeze()
	defer thaw()
	run("the connecting subscriber", late)
	publishing, giveUp := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() { answered <- p.Publish(publishing, sample("c", "c")) }()
	none(t, answered, "Publish returned though the broker said nothing")

	begin := time.Now()
	close(release)
	giveUp()
	stop()
	if next(t, answered, "Publish to return") == nil {
		t.Error("Publish says that a silent broker stored the event")
	}
	go func() {
		if err := p.Close(ctxOf(t, stopTime)); err != nil {
			t.Error(err)
		}
		stopped <- "the publisher"
	}()
	for range 4 {
		who := next(t, stopped, "everything to stop")
		if took := time.Since(begin); took > stopTime {
			t.Errorf("%s took %s to stop, want at most %s", who, took, stopTime)
		}
	}
}

// ctxOf returns a context that ends after d, or with the test.
func ctxOf(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}
