package shard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestStoppingFinishesAndRecordsWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(600), &press{delay: 2 * time.Second}
		r := start(t, standard(), m, p)
		time.Sleep(time.Second)
		if p.confirmed() != 0 {
			t.Fatal("confirmed too early for this test")
		}
		if took := r.stop(); took > 10*time.Second {
			t.Errorf("Run took %s to end", took)
		}
		if n := p.confirmed(); n != maxOutstanding {
			t.Errorf("%d confirmed, want the %d that were in flight", n, maxOutstanding)
		}
		if n := m.dueNow(r.Backoff); n != 600-maxOutstanding {
			t.Errorf("%d due after the stop, want %d: what was confirmed was not recorded", n, 600-maxOutstanding)
		}
	})
}

func TestARestartCostsAtMostTheUnrecordedBatch(t *testing.T) {
	for name, records := range map[string]bool{"everything was recorded": true, "the API never recorded": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := newModel().created(50), &press{}
				if !records {
					m.onPublished = func([]string) (error, bool) { return fleet.Errorf(fleet.Unavailable, "away"), false }
				}
				r := start(t, standard(), m, p)
				time.Sleep(time.Second)
				r.stop()
				m.set(func(m *model) { m.onPublished = nil })
				start(t, standard(), m, p)
				time.Sleep(time.Second)
				counts := map[int]int{}
				for _, s := range p.out() {
					counts[len(s)]++
				}
				want := map[int]int{1: 50}
				if !records {
					want = map[int]int{2: 50}
				}
				if diff := cmp.Diff(want, counts); diff != "" {
					t.Errorf("resources by number of events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// slowly is an API that takes its time to record.
type slowly struct {
	*model
	takes time.Duration
}

func (s slowly) Published(ctx context.Context, typ fleet.ResourceType, p fleet.Published) error {
	select {
	case <-time.After(s.takes):
		return s.model.Published(ctx, typ, p)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestRunEndsInTimeWhateverTheAPIAndTheBrokerDo(t *testing.T) {
	for name, c := range map[string]struct {
		takes   time.Duration // the API, to record
		hangs   bool          // the broker
		refuses error
	}{
		"the API is slow":                  {takes: 3 * time.Second},
		"the API hangs":                    {takes: time.Hour},
		"the API and the broker hang":      {takes: time.Hour, hangs: true},
		"the API refuses one token by one": {takes: 10 * time.Millisecond, refuses: &fleet.Error{Code: fleet.Invalid, Problems: []fleet.Problem{{Pointer: "/tokens/0"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := newModel().created(6_000), &press{}
				if c.refuses != nil {
					m.onPublished = func([]string) (error, bool) { return c.refuses, false }
				}
				r := start(t, standard(), slowly{m, c.takes}, p)
				time.Sleep(4 * time.Second)
				if n := r.memory.unrecorded(); n < 5_000 {
					t.Fatalf("%d unrecorded: too few for this test", n)
				}
				p.set(func(p *press) { p.hangs = c.hangs })
				m.created(300)
				time.Sleep(2 * time.Second)
				if took := r.stop(); took > stopGrace+time.Second {
					t.Errorf("Run took %s to end", took)
				}
			})
		})
	}
}
