package brokertest

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Harness is a broker under test, empty. What it makes ends with its test.
type Harness interface {
	// Publisher returns a publisher of topic.
	Publisher(topic string) broker.Publisher
	// Subscriber declares the subscription before it returns.
	Subscriber(topic, subscription string, l broker.Limits) broker.Subscriber
	// DeadLetters returns the dead letters of a subscription, oldest first.
	DeadLetters(subscription string) []broker.DeadLetter
}

// Bounded is a Harness whose subscriptions can be made small, so that they are
// full soon.
type Bounded interface {
	// Bound makes subscriptions hold at most the given number of events. It
	// is called before anything is declared.
	Bound(events int)
}

// Option changes how the suite runs.
type Option func(*suite)

// InBubble runs every theme in a bubble of testing/synctest. It is for drivers
// in memory: the bubble's time passes only while everything in it waits.
func InBubble() Option {
	return func(s *suite) {
		s.run = func(t *testing.T, theme func(*testing.T)) { synctest.Test(t, theme) }
	}
}

type suite struct {
	run func(*testing.T, func(*testing.T))
}

// theme is one promise. It must not start subtests: it may run in a bubble.
type theme struct {
	name string
	test func(*testing.T, Harness)
}

// Exercise runs the suite. newHarness is called once per theme.
func Exercise(t *testing.T, newHarness func(testing.TB) Harness, options ...Option) {
	s := suite{run: func(t *testing.T, theme func(*testing.T)) { theme(t) }}
	for _, o := range options {
		o(&s)
	}
	var themes []theme
	for _, more := range [][]theme{routing, deliveries, deadLetters, concurrency, stopping, pausing, pressure, content} {
		themes = append(themes, more...)
	}
	for _, th := range themes {
		t.Run(th.name, func(t *testing.T) {
			s.run(t, func(t *testing.T) { th.test(t, newHarness(t)) })
		})
	}
}

// rounds is how often random and violent things are repeated.
func rounds(t testing.TB) int {
	v := os.Getenv("ROUNDS")
	if v == "" {
		return 3
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("ROUNDS is %q; it must be a number of at least 1", v)
	}
	return n
}
