package handle_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestACheckStartsWithoutAWordAndOnlyOnce(t *testing.T) {
	done := fleet.At(eventTime.Add(-24 * time.Hour))
	w := &world{phase: fleet.Ready, dns: "Complete", own: &fleet.AdapterStatus{Phase: fleet.ReportComplete, Attempt: 2, LastTransitionTime: done}}
	h, _ := handlerOf(t, w, func(s *v1alpha1.AdapterConfigSpec) {
		s.Recheck = &v1alpha1.Recheck{Every: &metav1.Duration{Duration: 24 * time.Hour}}
	})
	for range 2 {
		if got := h.Handle(t.Context(), delivery(t)); got.Kind != broker.Acked {
			t.Fatalf("outcome %+v", got)
		}
	}
	if len(w.reports) > 0 || len(w.jobs) != 2 || w.jobs[0].Name != w.jobs[1].Name {
		t.Fatalf("reports %v, jobs %+v", w.phases(), w.jobs)
	}
	want := jobspec.Identity{Adapter: "dns", ResourceType: fleet.Clusters, ResourceID: id, Generation: 2, Attempt: 2, Mode: jobspec.ModeCheck, Check: done.Unix()}
	if w.jobs[0].Identity != want {
		t.Errorf("the job is %+v, want %+v", w.jobs[0].Identity, want)
	}
	w.ensure = jobspec.ErrForbidden
	if got := h.Handle(t.Context(), delivery(t)); got.Kind != broker.Acked || len(w.reports) > 0 {
		t.Errorf("one that may not be made: outcome %+v, reports %v", got, w.phases())
	}
}

func TestTheEndOfACheck(t *testing.T) {
	done := fleet.At(eventTime.Add(-24 * time.Hour))
	own := fleet.AdapterStatus{Phase: fleet.ReportComplete, Attempt: 2, AttemptBase: 1, Message: "records made", Data: json.RawMessage(`{"zone":"a"}`), LastTransitionTime: done}
	at := fleet.At(eventTime.Add(3 * time.Second))
	for _, tc := range []struct {
		name    string
		own     func(*fleet.AdapterStatus)
		end     func(*jobspec.End)
		get     error
		reports []fleet.NewReport
		fails   bool
	}{
		{name: "a success repeats the report, so that it folds", reports: []fleet.NewReport{{AdapterName: "dns", Phase: fleet.ReportComplete, Message: own.Message, Data: own.Data,
			LastTransitionTime: &done, CheckedAt: &at, ObservedGeneration: 2, Attempt: 2, AttemptBase: 1}}},
		{name: "a failure asks for the next attempt", end: func(e *jobspec.End) { e.Succeeded = false }, reports: []fleet.NewReport{{AdapterName: "dns", Phase: fleet.ReportPending,
			Message: "check failed: done", ObservedGeneration: 2, Attempt: 3, AttemptBase: 2}}},
		{name: "one that was lost says nothing", end: func(e *jobspec.End) { e.Lost = true }},
		{name: "nor one of an attempt that is past", own: func(s *fleet.AdapterStatus) { s.Attempt = 3 }},
		{name: "nor one of what is not Complete any more", own: func(s *fleet.AdapterStatus) { s.Phase = fleet.ReportPending }},
		{name: "nor one of a resource that is gone", get: code(fleet.NotFound)},
		{name: "it is kept while the API is away", get: code(fleet.Unavailable), fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, end := own, ended(2, 1, "")
			end.Identity.Mode, end.Identity.Check = jobspec.ModeCheck, done.Unix()
			if tc.own != nil {
				tc.own(&status)
			}
			if tc.end != nil {
				tc.end(&end)
			}
			w := &world{own: &status, get: tc.get}
			h, _ := handler(t, w)
			if err := h.Ended(t.Context(), end); (err != nil) != tc.fails {
				t.Errorf("error %v", err)
			}
			for i := range w.reports {
				if w.reports[i].CheckedAt == nil {
					w.reports[i].LastTransitionTime = nil
				}
			}
			if diff := cmp.Diff(tc.reports, w.reports, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALostJobIsAskedForAgain(t *testing.T) {
	w := &world{}
	h, _ := handler(t, w)
	end := ended(2, 1, "")
	end.Lost = true
	if err := h.Ended(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Pending a2: job " + jobName + " was deleted before it ended"}, w.phases()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func TestAJobIsWantedAtTheGenerationOfItsResource(t *testing.T) {
	for _, tc := range []struct {
		name       string
		generation int64
		get        error
		wanted     bool
	}{
		{"it is the newest", 2, nil, true},
		{"there is a newer generation", 1, nil, false},
		{"the resource is gone", 2, code(fleet.NotFound), false},
	} {
		w := &world{get: tc.get}
		h, _ := handler(t, w)
		wanted, err := h.Wanted(t.Context(), jobspec.Identity{ResourceType: fleet.Clusters, ResourceID: id, Generation: tc.generation})
		if err != nil || wanted != tc.wanted {
			t.Errorf("%s: %t, %v", tc.name, wanted, err)
		}
	}
	w := &world{get: code(fleet.Unavailable)}
	h, _ := handler(t, w)
	if _, err := h.Wanted(t.Context(), jobspec.Identity{ResourceType: fleet.Clusters, ResourceID: id, Generation: 2}); err == nil {
		t.Error("an API that is away says what is wanted")
	}
}
