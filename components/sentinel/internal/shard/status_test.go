package shard

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestTheStatusSaysWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(3), &press{}
		m.onDue = func() error { return fleet.Errorf(fleet.Unavailable, "away") }
		m.onHold = func() error { return fleet.Errorf(fleet.ShardHeld, "pod-2 has it") }
		r := start(t, standard(), m, p)
		synctest.Wait()
		got := r.Status()
		if fleet.ErrorCode(got.API) != fleet.Unavailable || !errors.Is(got.Broker, ErrUnknown) || fleet.ErrorCode(got.Registered) != fleet.ShardHeld {
			t.Errorf("API %v, broker %v, registered %v", got.API, got.Broker, got.Registered)
		}
		if !got.LastPoll.IsZero() {
			t.Errorf("a failed poll counts as the last one: %s", got.LastPoll)
		}

		p.set(func(p *press) { p.fail = func(fleet.ReconcileEvent) error { return errAway } })
		m.set(func(m *model) { m.onDue, m.onHold = nil, nil })
		time.Sleep(8 * time.Second)
		got = r.Status()
		if got.API != nil || !errors.Is(got.Broker, errAway) || got.Registered != nil || got.Pending != 3 || !got.LastPoll.IsZero() {
			t.Errorf("with the broker away: %+v", got)
		}

		p.set(func(p *press) { p.fail = nil })
		m.set(func(m *model) {
			m.onPublished = func([]string) (error, bool) { return fleet.Errorf(fleet.Forbidden, "read-only"), false }
		})
		time.Sleep(8 * time.Second)
		got = r.Status()
		if got.Broker != nil || fleet.ErrorCode(got.Registered) != fleet.Forbidden || got.Pending != 0 || time.Since(got.LastPoll) > 6*time.Second {
			t.Errorf("with read-only credentials: %+v", got)
		}
		m.set(func(m *model) { m.onPublished = nil })
		time.Sleep(time.Minute)
		if got = r.Status(); got.Registered != nil {
			t.Errorf("registered: %v", got.Registered)
		}
	})
}

func TestCoverageIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const uncovered, overlapping = "hyperfleet_sentinel_uncovered_resources", "hyperfleet_sentinel_overlapping_resources"
		m, asked := newModel(), 0
		c := fleet.Coverage{Uncovered: fleet.Found{Count: 4}, Overlapping: fleet.Found{Count: 2}, AsOf: fleet.At(time.Now())}
		m.onCoverage = func() (fleet.Coverage, error) {
			asked++
			if asked == 1 {
				return fleet.Coverage{}, fleet.Errorf(fleet.Unavailable, "away")
			}
			if asked == 3 { // the API computed it anew
				c.Shards = []fleet.ShardCoverage{{Name: "other", Matched: 9}, {Name: standard().Name, Selector: standard().Selector, Matched: 7, Overlapping: 2}}
			}
			return c, nil
		}
		r := start(t, standard(), m, &press{})
		synctest.Wait()
		if v := r.value(t, uncovered); !math.IsNaN(v) {
			t.Errorf("%v uncovered, but nobody knows", v)
		}
		time.Sleep(6 * time.Second)
		if u, o := r.value(t, uncovered), r.value(t, overlapping); u != 4 || o != 2 {
			t.Errorf("%v uncovered and %v overlapping, want 4 and 2", u, o)
		}
		if got := r.Status(); !got.DividedAt.IsZero() {
			t.Errorf("an answer without this shard counts as its part: %+v", got.Division)
		}
		time.Sleep(6 * time.Second)
		if got := r.Status(); got.Division.Matched != 7 || got.Division.Overlapping != 2 || !got.DividedAt.Equal(c.AsOf.Time) {
			t.Errorf("%+v", got)
		}
		time.Sleep(10 * time.Minute)
		m.set(func(*model) {
			if asked > 3+12 {
				t.Errorf("asked %d times in ten minutes", asked)
			}
		})
	})
}

func TestAForgottenShardLeavesNoSeries(t *testing.T) {
	registry := prometheus.NewRegistry()
	collectors, err := NewCollectors(registry)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may come back
		m, err := collectors.For(fleet.Clusters, "a")
		if err != nil {
			t.Fatal(err)
		}
		if families, err := registry.Gather(); err != nil || len(families) == 0 {
			t.Fatal(families, err)
		}
		collectors.Forget(m)
		if families, err := registry.Gather(); err != nil || len(families) > 0 {
			t.Errorf("left: %v, %v", families, err)
		}
	}
}
