package brokertest

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// Option changes how the suite runs.
type Option func(*suite)

// InBubble runs every theme in a bubble of testing/synctest. It is for drivers
// in memory: the bubble's time passes only while everything in it waits.
func InBubble() Option {
	return func(s *suite) {
		s.run = func(t *testing.T, theme func(*testing.T)) { synctest.Test(t, theme) }
	}
}

// Without says that the broker under test does not offer something, and why.
// What a harness neither offers nor declares missing fails the suite.
func Without(c Capability, why string) Option {
	return func(s *suite) { s.without[c] = why }
}

// LeastDeliveries is for brokers that allow no smaller limit of deliveries.
func LeastDeliveries(n int) Option {
	return func(s *suite) { s.leastDeliveries = n }
}

// Leases is for brokers that deliver again what was not settled only after a
// while: so long the suite waits before it believes that something was settled.
func Leases(d time.Duration) Option {
	return func(s *suite) { s.lease = d }
}

// Together runs up to n themes at once, first those alone that need one of the
// given capabilities, because they disturb what others share. Themes wait most
// of their time, so that n may be more than there are processors.
func Together(n int, alone ...Capability) Option {
	return func(s *suite) { s.together, s.alone = n, alone }
}

type suite struct {
	run             func(*testing.T, func(*testing.T))
	without         map[Capability]string
	leastDeliveries int
	lease           time.Duration
	together        int
	alone           []Capability
}

// theme is one promise. It must not start subtests: it may run in a bubble.
type theme struct {
	name  string
	test  func(*testing.T, *bench)
	needs []Capability
}

// Exercise runs the suite. newHarness is called once per theme; one server may
// serve all of them, because each theme has topics and subscriptions of its own.
func Exercise(t *testing.T, newHarness func(testing.TB) Harness, options ...Option) {
	s := suite{
		run:     func(t *testing.T, theme func(*testing.T)) { theme(t) },
		without: map[Capability]string{},
	}
	for _, o := range options {
		o(&s)
	}
	for c, why := range s.without {
		t.Logf("this broker does not offer %s: %s", c, why)
	}
	var (
		running sync.WaitGroup
		places  = make(chan struct{}, max(1, s.together))
		rest    []theme
	)
	for _, th := range slices.Concat(
		routing, deliveries, retries, deadLetters, reviews, concurrency, stopping, pausing, pressure, content, failures, order, contract,
	) {
		if s.together > 1 && !slices.ContainsFunc(th.needs, func(c Capability) bool { return slices.Contains(s.alone, c) }) {
			rest = append(rest, th)
			continue
		}
		s.exercise(t, th, newHarness)
	}
	// Not by t.Parallel, which bounds by processors.
	for _, th := range rest {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			s.exercise(t, th, newHarness)
		})
	}
	running.Wait()
}

func (s suite) exercise(t *testing.T, th theme, newHarness func(testing.TB) Harness) {
	for _, c := range th.needs {
		if _, lacks := s.without[c]; lacks {
			return
		}
	}
	t.Run(th.name, func(t *testing.T) {
		s.run(t, func(t *testing.T) { th.test(t, s.bench(t, newHarness(t), th.needs)) })
	})
}

// rounds is how often random and violent things are repeated.
func rounds(t testing.TB) int {
	t.Helper()
	return fleettest.Rounds(t)
}
