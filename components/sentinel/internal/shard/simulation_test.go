package shard

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// TestSimulation lets a fleet live for twenty minutes: it wakes and reports at
// random while the API refuses, records without answering, or is away, and the
// broker fails. Then it is left alone.
func TestSimulation(t *testing.T) {
	for seed := range 10 * fleettest.Rounds(t) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, rand.New(rand.NewPCG(uint64(seed), 3))) })
		})
	}
}

// wakeUp is one call for an event at a moment, and when it was made.
type wakeUp struct {
	id      string
	at, set time.Time
	why     fleet.Reason
	merged  bool // into an earlier one, as the contract says: the earlier one stays
}

// called adds a wake-up to those that were called for before.
func called(wakes []wakeUp, m *model, id string, at time.Time, why fleet.Reason) []wakeUp {
	merged := m.wake(id, at, why)
	for i := range wakes {
		if w := &wakes[i]; w.id == id && w.at.After(time.Now()) && w.at.After(at) {
			w.merged = true
		}
	}
	return append(wakes, wakeUp{id, at, time.Now(), why, merged})
}

func simulate(t *testing.T, r *rand.Rand) {
	const fleetSize = 30
	m, p := newModel().created(fleetSize/2).silent(fleetSize/2), &press{delay: 20 * time.Millisecond}
	m.latency = time.Duration(r.IntN(4)) * 300 * time.Millisecond
	sky := &weather{r: rand.New(rand.NewPCG(r.Uint64(), 4))}
	m.onDue = func() error { return sky.strikes(&sky.due, 2) }
	m.onPublished = func([]string) (error, bool) { return sky.strikes(&sky.record, 1), sky.whim(3) }
	p.fail = func(fleet.ReconcileEvent) error { return sky.strikes(&sky.publish, 2) }
	c := standard()
	if r.IntN(2) == 0 {
		c.MaxEventsPerSecond = 5 + r.IntN(20)
	}
	s := start(t, c, m, p)
	wakes := live(r, m, fleetSize, sky)
	time.Sleep(2 * time.Minute) // good weather, for what was left
	s.stop()

	out := p.out()
	for i := range fleetSize {
		checkRepeats(t, id(i), out[id(i)], wakes)
	}
	for _, w := range wakes {
		served := w.merged
		for _, e := range out[w.id] {
			served = served || !e.at.Before(w.at)
		}
		if !served {
			t.Errorf("%s: the wake-up at %s was swallowed", w.id, w.at.Format(time.TimeOnly))
		}
	}
	// One poll interval's worth may have become due since the last poll.
	grace := fleet.Backoff{NotReady: c.Backoff.NotReady + 12*time.Second, Ready: c.Backoff.Ready + 12*time.Second}
	if n := m.dueNow(grace); n > 0 {
		t.Errorf("%d resources starve", n)
	}
}

// weather makes calls fail, as long as it is bad for their kind.
type weather struct {
	mu                   sync.Mutex
	r                    *rand.Rand
	due, record, publish bool
}

// strikes fails one of n calls while it is bad.
func (w *weather) strikes(bad *bool, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *bad && w.r.IntN(n) == 0 {
		return fleet.Errorf(fleet.Unavailable, "weather")
	}
	return nil
}

func (w *weather) whim(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.r.IntN(n) == 0
}

// turn changes the weather.
func (w *weather) turn(due, record, publish bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due, w.record, w.publish = due, record, publish
}

// live makes things happen and returns the wake-ups among them. It ends in
// good weather.
func live(r *rand.Rand, m *model, fleetSize int, sky *weather) []wakeUp {
	var wakes []wakeUp
	for end := time.Now().Add(20 * time.Minute); time.Now().Before(end); {
		who := id(r.IntN(fleetSize))
		switch n := r.IntN(100); {
		case n < 20:
			wakes = called(wakes, m, who, time.Now(), fleet.GenerationChanged)
		case n < 30:
			at := time.Now().Add(time.Duration(r.IntN(60)) * time.Second)
			wakes = called(wakes, m, who, at, fleet.Retry)
		case n < 50:
			m.report(who, []fleet.Phase{fleet.Provisioning, fleet.Ready, fleet.Failed}[r.IntN(3)])
		case n < 60:
			sky.turn(r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(3) == 0)
		}
		time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
	}
	sky.turn(false, false, false)
	return wakes
}

// checkRepeats looks for two events of one resource within its backoff with no
// wake-up that called for the second. A retry that waited behind an earlier
// wake-up has an event of its own, even if its moment had passed by then.
func checkRepeats(t *testing.T, id string, events []sent, wakes []wakeUp) {
	t.Helper()
	const slack = 2 * time.Second // for retries of the first: its judgement is older than its confirmation
	retries := 0
	for _, w := range wakes {
		if w.id == id && w.why == fleet.Retry {
			retries++
		}
	}
	for i := 1; i < len(events); i++ {
		first, second := events[i-1], events[i]
		if second.at.Sub(first.at) >= 10*time.Second-slack {
			continue
		}
		woken := false
		if second.Reason == fleet.Retry && retries > 0 {
			retries--
			woken = true
		}
		for _, w := range wakes {
			for _, moment := range []time.Time{w.set, w.at} {
				woken = woken || w.id == id && !moment.Before(first.event.Time()) && !moment.After(second.at)
			}
		}
		if !woken {
			t.Errorf("%s: %s at %s and %s at %s, and nothing woke it", id,
				first.Reason, first.at.Format("15:04:05.000"), second.Reason, second.at.Format("15:04:05.000"))
		}
	}
}
