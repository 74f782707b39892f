package brokertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// recovery is how soon a publisher must work again once the broker is back.
const recovery = 10 * time.Second

var failures = []theme{
	{name: "what was confirmed survives a crash of the broker", test: durable, needs: []Capability{Restarting, Durability}},
	{name: "connections cut in the middle of everything lose nothing", test: cutMidWindow, needs: []Capability{Cutting}},
	{name: "an event whose handler runs when the connection is lost comes again", test: cutWhileHandling, needs: []Capability{Cutting, Returning}},
	{name: "nothing counts as sent that a silent broker did not confirm, and no more is under way than the window", test: silent, needs: []Capability{Freezing}},
	{name: "an alarm of the broker makes publishers wait and loses nothing", test: alarmed, needs: []Capability{Alarming}},
	{name: "a permission that is missing makes publishers wait until somebody grants it, and only so long as their context lets them", test: denied, needs: []Capability{Denying}},
	{name: "a dead letter that an alarm keeps from being stored stays an event", test: alarmedReject, needs: []Capability{Alarming}},
	{name: "a broker that stops and returns while events flow loses nothing", test: restarts, needs: []Capability{Restarting}},
}

func durable(t *testing.T, h *bench) {
	const n = 20
	s := h.Subscriber(topic, subscription, broker.Limits{})
	publishAll(t, h.Publisher(topic), many(n, "e"))
	h.broker().Stop(true)
	h.broker().Start()
	got := make(chan string, 2*n)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	})
	seen := map[string]bool{}
	for len(seen) < n {
		seen[next(t, got, "every confirmed event")] = true
	}
}

func cutMidWindow(t *testing.T, h *bench) {
	const n = 300
	for round := range rounds(t) {
		f := newFlow(t, h, fmt.Sprint("flow-", round))
		f.publish(t, n)
		for range 5 {
			f.some(t, n/10)
			h.cut()
		}
		f.finish(t)
	}
}

func cutWhileHandling(t *testing.T, h *bench) {
	begun, release := make(chan struct{}, 10), make(chan struct{})
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(context.Context, broker.Delivery) broker.Outcome {
		begun <- struct{}{}
		<-release
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), sample("a", "s"))
	next(t, begun, "the delivery")
	none(t, begun, "the event came twice at once") // long enough for an early acknowledgement to arrive
	h.cut()
	close(release)
	next(t, begun, "the delivery after the connection was lost")
}

func silent(t *testing.T, h *bench) {
	f := h.freezer()
	n := 3*f.Window() + 7
	s := h.Subscriber(topic, subscription, broker.Limits{})
	p := h.Publisher(topic)
	publish(t, p, sample("first", "first"))
	thaw := f.Freeze()
	done := make(chan error, n)
	for _, e := range many(n, "e") {
		go func() { done <- p.Publish(t.Context(), e) }()
	}
	for deadline := time.Now().Add(ceiling); h.stored(topic, subscription) < f.Window()+1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d events reached the broker, want a window of %d and the first", h.stored(topic, subscription), f.Window())
		}
	}
	none(t, done, "Publish returned though the broker said nothing")
	if got := h.stored(topic, subscription); got != f.Window()+1 {
		t.Fatalf("%d events are under way, want at most the window of %d", got-1, f.Window())
	}
	h.unconfirmed(t, n) // those that wait for a place, too
	thaw()
	for range n {
		if err := next(t, done, "Publish to return once the broker speaks"); err != nil {
			t.Fatal(err)
		}
	}
	got, seen := make(chan string, 3*n), map[string]bool{}
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	})
	for len(seen) < n+1 {
		seen[next(t, got, "every event")] = true
	}
	h.unconfirmed(t, 0)
	defer f.Freeze()()
	if err := p.Publish(ctxOf(t, quiet), sample("impatient", "impatient")); err == nil {
		t.Fatal("Publish returned without an error though the broker said nothing")
	}
	h.unconfirmed(t, 0) // nobody waits for it any more
}

func alarmed(t *testing.T, h *bench) {
	f := newFlow(t, h, "flow")
	f.publish(t, 1)
	f.finish(t)
	h.alarm(true)
	defer h.alarm(false)
	f = newFlow(t, h, "alarmed")
	f.publish(t, 50)
	none(t, f.confirmed, "an event was confirmed during the alarm")
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if err := f.publisher.Publish(ctx, sample("impatient", "impatient")); err == nil {
		t.Fatal("Publish returned without an error during the alarm")
	}
	h.alarm(false)
	f.finish(t)
}

func denied(t *testing.T, h *bench) {
	got := make(chan string, 10)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		return broker.Ack()
	})
	h.deny(true)
	defer h.deny(false)
	p := h.Publisher(topic)
	answered := make(chan error, 1)
	go func() { answered <- p.Publish(ctxOf(t, ceiling), sample("patient", "a")) }()
	if err := p.Publish(ctxOf(t, 5*quiet), sample("impatient", "b")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Publish without the permission gave %v, want the context's end", err)
	}
	none(t, answered, "Publish without the permission returned")
	h.deny(false)
	if err := next(t, answered, "Publish to return once the permission is there"); err != nil {
		t.Fatal(err)
	}
	if id := next(t, got, "the event"); id != "patient" {
		t.Fatalf("got %s", id)
	}
}

func alarmedReject(t *testing.T, h *bench) {
	s := h.Subscriber(topic, subscription, broker.Limits{})
	publish(t, h.Publisher(topic), sample("first", "a"), sample("second", "b"))
	h.alarm(true)
	defer h.alarm(false)
	begun, release := make(chan string, 100), make(chan struct{})
	reject := func(_ context.Context, d broker.Delivery) broker.Outcome {
		begun <- d.Event.ID()
		if d.Event.ID() == "second" {
			<-release
		}
		return broker.Reject("no use")
	}
	stop := receive(t, s, reject)
	next(t, begun, "the first delivery")
	next(t, begun, "the second delivery")
	// A broker may say only in answer to the first letter that it takes none:
	// that one waits on the way to it, and the second has not left.
	none(t, begun, "a delivery came twice")
	close(release)
	stop() // gives the rejections up after a while
	h.alarm(false)
	receive(t, s, reject)
	for n := 2; ; n++ { // the first may be there twice
		seen := map[string]bool{}
		for _, d := range buried(t, h, n) {
			seen[d.Event.ID()] = true
		}
		if seen["first"] && seen["second"] {
			return
		}
	}
}

func restarts(t *testing.T, h *bench) {
	const n = 200
	for round := range rounds(t) {
		f := newFlow(t, h, fmt.Sprint("flow-", round))
		f.publish(t, n)
		f.some(t, n/4)
		h.broker().Stop(round%2 == 0)
		back := h.broker().Start()
		publish(t, f.publisher, sample("probe", "probe"))
		if took := time.Since(back); took > recovery {
			t.Fatalf("the publisher worked %s after the broker was back, want at most %s", took, recovery)
		}
		f.finish(t)
	}
}
