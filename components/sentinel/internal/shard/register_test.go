package shard

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const registeredMetric = "hyperfleet_sentinel_registered"

func TestAShardIsRegisteredWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		r := start(t, standard(), m, &press{})
		time.Sleep(time.Second)
		want := fleet.NewShard{Holder: "pod-1-abc", ResourceType: fleet.Clusters, Selector: "region=us-east",
			BackoffNotReady: "10s", BackoffReady: "30m0s", PollInterval: "5s"}
		got, _ := m.registered()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("registered (-want +got):\n%s", diff)
		}
		if v := r.value(t, registeredMetric); v != 1 {
			t.Errorf("the metric is %v while it is registered", v)
		}
		time.Sleep(100 * time.Second)
		if _, holds := m.registered(); holds < 18 || holds > 23 {
			t.Errorf("renewed %d times in 100 s, want every 5 s give or take a tenth", holds)
		}
		r.stop()
		if got, _ := m.registered(); got.Holder != "" {
			t.Errorf("still registered after the stop: %+v", got)
		}
		if v := r.value(t, registeredMetric); v != 0 {
			t.Errorf("the metric is %v after the stop", v)
		}
	})
}

func TestARegistrationIsRenewedDuringALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.latency = 2 * time.Minute
		start(t, standard(), m, &press{})
		time.Sleep(time.Minute)
		if _, holds := m.registered(); holds < 10 {
			t.Errorf("renewed %d times in a poll of a minute", holds)
		}
	})
}

func TestAShardThatIsRefusedWorksOnAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p, log := newModel().created(3), &press{}, &bytes.Buffer{}
		refusals := 0
		m.onHold = func() error {
			refusals++
			return fleet.Errorf(fleet.ShardHeld, "held by another, live until second %d", refusals)
		}
		r := start(t, standard(), m, p, func(s *Shard) { s.Log = slog.New(slog.NewTextHandler(log, nil)) })
		time.Sleep(time.Minute)
		if n := p.confirmed(); n < 3 {
			t.Errorf("%d events", n)
		}
		if v := r.value(t, registeredMetric); v != 0 {
			t.Errorf("the metric is %v while it is refused", v)
		}
		m.set(func(m *model) { m.onHold = nil })
		time.Sleep(6 * time.Second)
		if v := r.value(t, registeredMetric); v != 1 {
			t.Errorf("the metric is %v when the other one has gone", v)
		}
		r.stop()
		said := log.String()
		if strings.Count(said, "Registered=False") != 1 || strings.Count(said, "Registered=True") != 1 {
			t.Errorf("each change is told once, not:\n%s", said)
		}
	})
}

func TestAShardIsNotRegisteredWhileNothingIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel().created(1)
		m.onPublished = func([]string) (error, bool) { return fleet.Errorf(fleet.Unavailable, "away"), false }
		r := start(t, standard(), m, &press{})
		time.Sleep(4 * time.Second)
		if v := r.value(t, registeredMetric); v != 0 {
			t.Errorf("the metric is %v while nothing is recorded", v)
		}
		m.set(func(m *model) { m.onPublished = nil })
		time.Sleep(time.Minute)
		if v := r.value(t, registeredMetric); v != 1 {
			t.Errorf("the metric is %v when publications are recorded again", v)
		}
	})
}

// forgetful is an API that does not answer about registrations.
type forgetful struct{ *model }

func (forgetful) HoldShard(ctx context.Context, _ string, _ fleet.NewShard) (fleet.Shard, error) {
	<-ctx.Done()
	return fleet.Shard{}, ctx.Err()
}

func (forgetful) ReleaseShard(ctx context.Context, _, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestARegistrationThatHangsKeepsNothingWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(1), &press{}
		r := start(t, standard(), forgetful{m}, p)
		time.Sleep(time.Second)
		if n := p.confirmed(); n != 1 {
			t.Errorf("%d events", n)
		}
		if took := r.stop(); took > stopGrace+time.Second {
			t.Errorf("Run took %s to end", took)
		}
	})
}
