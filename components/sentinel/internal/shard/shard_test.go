package shard

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsDueIsPublishedOnceAndRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(1).silent(1), &press{}
		m.rows[id(0)].generation = 7
		m.latency = time.Second
		asOf := fleet.At(time.Now().Add(m.latency / 2))
		r := start(t, standard(), m, p)
		time.Sleep(8 * time.Second)
		out := p.out()
		if len(out[id(0)]) != 1 || len(out[id(1)]) != 1 {
			t.Fatalf("published %v", out)
		}
		woken, expired := out[id(0)][0], out[id(1)][0]
		want := fleet.ReconcileEvent{ResourceType: fleet.Clusters, ResourceID: id(0), Reason: fleet.GenerationChanged, Generation: 7}
		if diff := cmp.Diff(want, woken.ReconcileEvent); diff != "" || expired.Reason != fleet.BackoffExpired {
			t.Fatalf("expired for %s; woken (-want +got):\n%s", expired.Reason, diff)
		}
		if got := woken.event.Source(); got != "sentinel-operator/cluster-sentinel-us-east" {
			t.Errorf("source %s", got)
		}
		if !woken.event.Time().Equal(asOf.Time) {
			t.Errorf("time %s, want the due answer's %s", woken.event.Time(), asOf)
		}
		if n := m.dueNow(r.Backoff); n != 0 {
			t.Errorf("%d are still due: their publication was not recorded", n)
		}
		for name, want := range map[string]float64{
			"hyperfleet_sentinel_events_created_total": 2, "hyperfleet_sentinel_publish_errors_total": 0,
			"hyperfleet_sentinel_resources_pending": 0, "hyperfleet_sentinel_unrecorded_publications": 0,
			"hyperfleet_sentinel_poll_errors_total": 0,
		} {
			if got := r.value(t, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

func TestTheAPIIsAskedForTheShardAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := standard()
		c.Selector = "env!=dev,region in (eu-west,us-east)"
		r := start(t, c, m, &press{})
		time.Sleep(time.Second)
		r.stop()
		want := func(which string) client.DueOptions {
			return client.DueOptions{Selector: "env!=dev,region in (eu-west,us-east)", Backoff: c.Backoff, Which: which, Limit: 1000}
		}
		if diff := cmp.Diff([]client.DueOptions{want("woken"), want("expired")}, m.questions()); diff != "" {
			t.Fatalf("asked (-want +got):\n%s", diff)
		}
	})
}

func TestEveryPageIsPublishedInOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(2500).silent(1500), &press{}
		start(t, standard(), m, p)
		time.Sleep(time.Second)
		if n := p.confirmed(); n != 4000 || len(p.out()) != 4000 {
			t.Fatalf("%d events of %d resources in the first second, want all 4000 once", n, len(p.out()))
		}
	})
}

func TestAShardsMetricsExistAtZeroFromTheStart(t *testing.T) {
	registry := prometheus.NewRegistry()
	collectors, err := NewCollectors(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range []string{"a", "b"} {
		if _, err := collectors.For(fleet.Clusters, shard); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["resource_type"] != "clusters" || labels["shard"] == "" || len(labels) != 2 {
				t.Errorf("%s has labels %v", f.GetName(), labels)
			}
			unknown := strings.Contains(f.GetName(), "uncovered") || strings.Contains(f.GetName(), "overlapping")
			if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); v != 0 && !(unknown && math.IsNaN(v)) {
				t.Errorf("%s is %v", f.GetName(), v)
			}
			series[f.GetName()]++
		}
	}
	want := map[string]int{}
	for _, name := range []string{"resources_pending", "events_created_total", "publish_errors_total", "poll_errors_total",
		"poll_duration_seconds", "last_successful_poll_timestamp_seconds", "due_lag_seconds", "unrecorded_publications", "registered",
		"uncovered_resources", "overlapping_resources"} {
		want["hyperfleet_sentinel_"+name] = 2
	}
	if diff := cmp.Diff(want, series); diff != "" {
		t.Fatalf("series (-want +got):\n%s", diff)
	}
}

func TestPollsNeverOverlapAndComeAtTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.latency = 7 * time.Second // two pages: 14 s, and polls every 5 s
		r := start(t, standard(), m, &press{})
		time.Sleep(2 * time.Minute)
		m.set(func(m *model) {
			if m.overlaps > 0 {
				t.Errorf("%d polls overlapped", m.overlaps)
			}
			m.latency = 0
		})
		time.Sleep(20 * time.Second)
		m.set(func(m *model) { m.asked = nil })
		time.Sleep(100 * time.Second)
		if polls := len(m.questions()) / 2; polls < 18 || polls > 23 {
			t.Errorf("%d polls in 100 s, want one every 5 s give or take a tenth", polls)
		}
		r.stop()
	})
}

func TestAShardIsReadyWhileTheAPIAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.onDue = func() error { return fleet.Errorf(fleet.Unavailable, "starting") }
		r := start(t, standard(), m, &press{})
		time.Sleep(time.Second)
		if r.Ready(context.Background()) == nil {
			t.Error("ready before the API has answered")
		}
		m.set(func(m *model) { m.onDue = nil })
		time.Sleep(6 * time.Second)
		if err := r.Ready(context.Background()); err != nil {
			t.Errorf("not ready: %v", err)
		}
		m.set(func(m *model) { m.onDue = func() error { return fleet.Errorf(fleet.Unavailable, "gone") } })
		time.Sleep(22 * time.Second)
		if r.Ready(context.Background()) == nil {
			t.Error("ready though the API is away")
		}
	})
}
