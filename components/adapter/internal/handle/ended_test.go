package handle_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func ended(attempt, base int, failure string) jobspec.End {
	return jobspec.End{
		Name:        jobName,
		Identity:    jobspec.Identity{Adapter: "dns", ResourceType: fleet.Clusters, ResourceID: id, Generation: 2, Attempt: attempt, Mode: "create"},
		AttemptBase: base, Succeeded: failure == "", Message: failure + "done", Data: json.RawMessage(`{"a":1}`),
		Started: eventTime, Ended: eventTime.Add(3 * time.Second),
	}
}

func TestEnded(t *testing.T) {
	once := func(c fleet.Code) func(fleet.NewReport) error {
		asked := false
		return func(fleet.NewReport) error {
			if asked {
				return nil
			}
			asked = true
			return code(c)
		}
	}
	retry := func(n, of string) string {
		return "Running a" + n + ": attempt " + n + " of " + of + " failed, next in 1m0s: not done retry 1m0s"
	}
	badData := ended(4, 0, "")
	badData.Data = json.RawMessage(`[1]`)
	for _, tc := range []struct {
		name    string
		end     jobspec.End
		report  func(fleet.NewReport) error
		again   bool // it is to be called again
		reports []string
	}{
		{"success is Complete", ended(1, 0, ""), nil, false, []string{"Complete a1: done"}},
		{"a failed attempt is Running with its retry", ended(1, 0, "not "), nil, false, []string{retry("1", "4")}},
		{"the attempt before the last is, too", ended(3, 0, "not "), nil, false, []string{retry("3", "4")}},
		{"the last failed attempt is Failed", ended(4, 0, "not "), nil, false, []string{"Failed a4: not done"}},
		{"attempts count from the base", ended(7, 4, "not "), nil, false, []string{retry("7", "8")}},
		{"the last attempt counts from the base", ended(8, 4, "not "), nil, false, []string{"Failed a8: not done"}},
		{"an API that is away is asked again", ended(1, 0, ""), once(fleet.Unavailable), true, []string{"Complete a1: done"}},
		{"an API that is broken is asked again", ended(1, 0, ""), once(fleet.Internal), true, []string{"Complete a1: done"}},
		{"a resource that is gone ends it", ended(1, 0, ""), once(fleet.NotFound), false, []string{"Complete a1: done"}},
		{"a later attempt ends it", ended(1, 0, "not "), once(fleet.Superseded), false, []string{retry("1", "4")}},
		{"a failure on an old generation is final there", ended(1, 0, "not "), once(fleet.StaleGeneration), false, []string{retry("1", "4"), "Failed a1: not done"}},
		{"a result that the API refuses is a failure", ended(4, 0, ""), once(fleet.TooLarge), false,
			[]string{"Complete a4: done", "Failed a4: the API refused the job's result: too_large: because"}},
		{"data that is no object is a failure", badData, nil, false, []string{"Failed a4: the job's data is not a JSON object"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &world{report: tc.report}
			h, registry := handler(t, w)
			if err := h.Ended(t.Context(), tc.end); (err != nil) != tc.again {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tc.reports, w.phases()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			for _, r := range w.reports {
				if r.ObservedGeneration != 2 || r.AttemptBase != tc.end.AttemptBase || !r.LastTransitionTime.Equal(tc.end.Ended) || r.AdapterName != "dns" {
					t.Errorf("report %+v", r)
				}
			}
			if n := testutil.CollectAndCount(registry, "hyperfleet_adapter_job_duration_seconds"); n != 2 {
				t.Errorf("%d results have a duration series, want both from the start", n)
			}
		})
	}
}

func TestEndedMakesMessagesThatTheAPIAccepts(t *testing.T) {
	end := ended(4, 0, "\x00\xff"+strings.Repeat("ä", 5000))
	w := &world{}
	h, _ := handler(t, w)
	if err := h.Ended(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if m := w.reports[0].Message; len(m) > 4096 || !utf8.ValidString(m) || strings.Contains(m, "\x00") {
		t.Errorf("message of %d bytes: %.40q", len(m), m)
	}
}

func TestMetricsCountRealCreationsOnly(t *testing.T) {
	w := &world{dns: "Complete"}
	h, registry := handler(t, w)
	h.Handle(t.Context(), delivery(t))
	w.exists = true
	h.Handle(t.Context(), delivery(t))
	w.ensure = errors.New("away")
	if got := h.Handle(t.Context(), delivery(t)); got.Kind != broker.Paused {
		t.Errorf("outcome %+v", got)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP hyperfleet_adapter_events_consumed_total Events received.
# TYPE hyperfleet_adapter_events_consumed_total counter
hyperfleet_adapter_events_consumed_total{adapter="dns"} 3
# HELP hyperfleet_adapter_jobs_created_total Jobs created; one that existed already does not count.
# TYPE hyperfleet_adapter_jobs_created_total counter
hyperfleet_adapter_jobs_created_total{adapter="dns"} 1
`), "hyperfleet_adapter_events_consumed_total", "hyperfleet_adapter_jobs_created_total"); err != nil {
		t.Error(err)
	}
}

// TestASuccessWhoseWordsAreLostFailsUnlessItWasToldBefore: such a Job may be found
// once more while Kubernetes removes it, its pods first.
func TestASuccessWhoseWordsAreLostFailsUnlessItWasToldBefore(t *testing.T) {
	for _, tc := range []struct {
		name    string
		own     fleet.AdapterStatus
		get     error
		again   bool
		reports []string
	}{
		{"its end is not known yet", fleet.AdapterStatus{Phase: fleet.ReportRunning, Attempt: 4}, nil, false, []string{"Failed a4: lost, done"}},
		{"it was told", fleet.AdapterStatus{Phase: fleet.ReportComplete, Attempt: 4}, nil, false, nil},
		{"an earlier attempt was told", fleet.AdapterStatus{Phase: fleet.ReportComplete, Attempt: 3}, nil, false, []string{"Failed a4: lost, done"}},
		{"its resource is gone", fleet.AdapterStatus{}, code(fleet.NotFound), false, nil},
		{"the API is away", fleet.AdapterStatus{}, code(fleet.Unavailable), true, nil},
	} {
		w := &world{own: &tc.own, get: tc.get}
		h, _ := handler(t, w)
		end := ended(4, 0, "lost, ")
		end.Mute, end.Data = true, nil
		if err := h.Ended(t.Context(), end); (err != nil) != tc.again {
			t.Errorf("%s: error %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.reports, w.phases()); diff != "" {
			t.Errorf("%s: reports (-want +got):\n%s", tc.name, diff)
		}
	}
}
