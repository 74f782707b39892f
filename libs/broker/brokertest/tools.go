package brokertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// ceiling is how long anything that must happen may take.
const ceiling = 30 * time.Second

// quiet is how long nothing must happen before the suite believes that nothing
// will.
const quiet = 300 * time.Millisecond

const (
	topic        = "hyperfleet.brokertest.v1"
	subscription = "brokertest-sub"
)

// sample returns a valid event of the given subject.
func sample(id, subject string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("brokertest")
	e.SetType("com.redhat.hyperfleet.brokertest.v1")
	e.SetSubject(subject)
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC))
	e.SetDataContentType(event.ApplicationJSON)
	e.DataEncoded = []byte(`{"id":"` + id + `"}`)
	return e
}

// publish publishes events one after the other.
func publish(t *testing.T, p broker.Publisher, events ...event.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	for _, e := range events {
		if err := p.Publish(ctx, e); err != nil {
			t.Fatalf("publish %s: %v", e.ID(), err)
		}
	}
}

// many returns n events, each of its own subject.
func many(n int, prefix string) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = sample(fmt.Sprintf("%s-%d", prefix, i), fmt.Sprintf("%s-subject-%d", prefix, i))
	}
	return out
}

// receive runs s until the test ends or stop is called; stop waits for it.
func receive(t *testing.T, s broker.Subscriber, h broker.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Receive(ctx, h) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Receive: %v", err)
				}
			case <-time.After(ceiling):
				t.Error("Receive did not return after its context had ended")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// next waits for a value from c.
func next[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(ceiling):
		t.Fatalf("waited %s for %s", ceiling, what)
		panic("unreachable")
	}
}

// none checks that nothing comes from c for a while.
func none[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	noneFor(t, quiet, c, what)
}

// noneFor checks that nothing comes from c for the given time.
func noneFor[T any](t *testing.T, d time.Duration, c <-chan T, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %v", what, v)
	case <-time.After(d):
	}
}

// buried waits for n dead letters and returns them.
func buried(t *testing.T, h *bench, n int) []broker.DeadLetter {
	t.Helper()
	for deadline := time.Now().Add(ceiling); ; time.Sleep(10 * time.Millisecond) {
		dead, err := list(t, h, subscription)
		if err == nil && len(dead) >= n {
			return dead
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters after %s, want %d: %v", len(dead), ceiling, n, err)
		}
	}
}

func list(t *testing.T, h *bench, subscription string) (dead []broker.DeadLetter, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	_, err = h.DeadLetters(subscription).Review(ctx, func(d broker.DeadLetter) broker.Verdict {
		dead = append(dead, d)
		return broker.Keep
	})
	return dead, err
}

// listed returns a subscription's dead letters and leaves them there.
func listed(t *testing.T, h *bench, subscription string) []broker.DeadLetter {
	t.Helper()
	dead, err := list(t, h, subscription)
	if err != nil {
		t.Fatalf("list the dead letters: %v", err)
	}
	return dead
}

// reviewed reviews a subscription's dead letters.
func reviewed(t *testing.T, h *bench, subscription string, judge func(broker.DeadLetter) broker.Verdict) broker.Reviewed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	done, err := h.DeadLetters(subscription).Review(ctx, judge)
	if err != nil {
		t.Fatalf("review the dead letters: %v", err)
	}
	return done
}

// tally counts by key. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(key string, n int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts == nil {
		y.counts = map[string]int{}
	}
	y.counts[key] += n
	return y.counts[key]
}
