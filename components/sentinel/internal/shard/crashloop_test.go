package shard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// mortal is an API and a broker as one process knows them: when it is killed
// nothing that it does reaches them any more.
type mortal struct {
	*model
	life context.Context
}

func (m mortal) Published(ctx context.Context, typ fleet.ResourceType, p fleet.Published) error {
	if m.life.Err() != nil {
		return m.life.Err()
	}
	return m.model.Published(ctx, typ, p)
}

// TestACrashLoopMakesNoStormAndStarvesNobody kills the process 20 times, each
// time with what it has not recorded, while 100,000 are overdue.
func TestACrashLoopMakesNoStormAndStarvesNobody(t *testing.T) {
	const due, budget, restarts, lives = 100_000, 5_000, 20, 1700 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().silent(due), &press{}
		c := standard()
		c.MaxEventsPerSecond = budget
		c.Backoff.NotReady = 30 * time.Minute // one backoff for all of it
		began, lost := time.Now(), 0
		for range restarts {
			life, kill := context.WithCancel(context.Background())
			r := start(t, c, mortal{m, life}, p)
			time.Sleep(lives)
			p.set(func(p *press) { p.fail = func(fleet.ReconcileEvent) error { return errAway } })
			synctest.Wait() // what has gone out is remembered
			lost += r.memory.unrecorded()
			kill()
			r.stop()
			p.set(func(p *press) { p.fail = nil })
		}
		killing := time.Since(began)
		start(t, c, m, p)
		time.Sleep(due/budget*time.Second*3/2 - restarts*lives + 5*time.Second)
		out, last := p.out(), time.Time{}
		for _, events := range out {
			if events[0].at.After(last) {
				last = events[0].at
			}
		}
		if len(out) != due {
			t.Errorf("%d of %d resources were published", len(out), due)
		}
		// The process was down while it stopped, which a killed one does at once.
		down := killing - restarts*lives
		if took, most := last.Sub(began)-down, due/budget*time.Second*3/2; took > most {
			t.Errorf("the last one was published after %s, want %s at most", took, most)
		}
		if n := p.confirmed(); n > due+lost || lost == 0 || lost > restarts*budget {
			t.Errorf("%d events of %d resources; %d were not recorded when it was killed", n, due, lost)
		}
	})
}

// TestShardsDoNotPollInStep: what was started together drifts apart.
func TestShardsDoNotPollInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards = 10
		var models []*model
		for range shards {
			m := newModel()
			models = append(models, m)
			start(t, standard(), m, &press{})
		}
		time.Sleep(10 * time.Minute)
		inStep, last := 0, map[time.Duration]int{}
		for _, m := range models {
			m.set(func(m *model) { last[time.Since(m.lastAsked).Truncate(250*time.Millisecond)]++ })
		}
		for _, n := range last {
			inStep = max(inStep, n)
		}
		if inStep > shards/2 {
			t.Errorf("%d of %d shards poll within a quarter of a second after ten minutes: %v", inStep, shards, last)
		}
	})
}

// TestWhatIsWokenWhileManyAreExpiredWaitsForAboutAPoll: and what is recorded is
// not remembered for the length of the whole drain.
func TestWhatIsWokenWhileManyAreExpiredWaitsForAboutAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().silent(40_000), &press{delay: 100 * time.Millisecond} // 2,560 a second: 16 s
		r := start(t, standard(), m, p)
		time.Sleep(6 * time.Second)
		m.wake(id(39_999), time.Now(), fleet.GenerationChanged) // the last of all
		woken := time.Now()
		time.Sleep(7 * time.Second)
		events := p.out()[id(39_999)]
		if len(events) == 0 || events[0].at.Sub(woken) > 6*time.Second {
			t.Errorf("woken among many: %d events within seven seconds", len(events))
		}
		r.memory.mu.Lock()
		n := len(r.memory.known)
		r.memory.mu.Unlock()
		if n > 10_000 {
			t.Errorf("%d publications are remembered, though all but the last are recorded", n)
		}
	})
}
