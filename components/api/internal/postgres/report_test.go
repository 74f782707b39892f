package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	pending  = fleet.ReportPending
	running  = fleet.ReportRunning
	complete = fleet.ReportComplete
	failed   = fleet.ReportFailed
)

func TestJudge(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	had := func(phase fleet.ReportPhase, attempt int, same bool) previous {
		return previous{id: "x", phase: phase, attempt: attempt, sameContent: same}
	}
	asked := previous{id: "x", phase: pending, attempt: 2, base: 2}
	for _, test := range []struct {
		name    string
		prev    previous
		n       fleet.NewReport
		code    fleet.Code
		folds   bool
		attempt int
	}{
		{"the first report is attempt 1", previous{}, fleet.NewReport{Phase: running}, "", false, 1},
		{"the attempt defaults to the latest", had(running, 3, false), fleet.NewReport{Phase: running}, "", false, 3},
		{"an identical report folds", had(running, 2, true), fleet.NewReport{Phase: running, Attempt: 2}, "", true, 2},
		{"an identical end folds", had(complete, 2, true), fleet.NewReport{Phase: complete}, "", true, 2},
		{"another phase does not fold", had(running, 1, true), fleet.NewReport{Phase: failed}, "", false, 1},
		{"another attempt does not fold", had(failed, 1, true), fleet.NewReport{Phase: failed, Attempt: 2}, "", false, 2},
		{"other content does not fold", had(complete, 1, false), fleet.NewReport{Phase: complete}, "", false, 1},
		{"a lower attempt is superseded", had(running, 3, true), fleet.NewReport{Phase: complete, Attempt: 2}, fleet.Superseded, false, 0},
		{"Running after the attempt's end is superseded", had(complete, 1, true), fleet.NewReport{Phase: running}, fleet.Superseded, false, 0},
		{"Pending after the attempt's end is superseded", had(failed, 2, true), fleet.NewReport{Phase: pending, Attempt: 2}, fleet.Superseded, false, 0},
		{"the next attempt may run after an end", had(failed, 2, true), fleet.NewReport{Phase: running, Attempt: 3}, "", false, 3},
		{"an end may follow an end", had(failed, 1, false), fleet.NewReport{Phase: complete}, "", false, 1},
		{"a generation to come is invalid", previous{}, fleet.NewReport{Phase: running, ObservedGeneration: 6}, fleet.Invalid, false, 0},
		{"Running on an older generation is stale", previous{}, fleet.NewReport{Phase: running, ObservedGeneration: 4}, fleet.StaleGeneration, false, 0},
		{"an end on an older generation is stored", previous{}, fleet.NewReport{Phase: failed, ObservedGeneration: 4}, "", false, 1},
		{"a retry that is no duration is invalid", previous{}, fleet.NewReport{Phase: running, RetryAfter: "soon"}, fleet.Invalid, false, 0},
		{"after a request the next attempt is meant", asked, fleet.NewReport{Phase: running}, "", false, 3},
		{"an end without its attempt ends the one that was asked for", asked, fleet.NewReport{Phase: complete}, "", false, 3},
		{"Pending may repeat what the request says", asked, fleet.NewReport{Phase: pending}, "", false, 2},
		{"a base beyond its attempt is invalid", previous{}, fleet.NewReport{Phase: complete, Attempt: 1, AttemptBase: 2}, fleet.Invalid, false, 0},
		{"so is one beyond the attempt that is the default", had(running, 3, false), fleet.NewReport{Phase: pending, AttemptBase: 1000}, fleet.Invalid, false, 0},
		{"a failed check counts retries from its attempt", had(complete, 2, true), fleet.NewReport{Phase: pending, Attempt: 3, AttemptBase: 3}, "", false, 3},
		{"a negative retry is invalid", previous{}, fleet.NewReport{Phase: running, RetryAfter: "-1s"}, fleet.Invalid, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := judge(5, test.prev, test.n, at)
			if fleet.ErrorCode(err) != test.code {
				t.Fatalf("error %v, want code %q", err, test.code)
			}
			if err == nil && (got.folds != test.folds || got.Attempt != test.attempt) {
				t.Errorf("folds %v attempt %d, want %v and %d", got.folds, got.Attempt, test.folds, test.attempt)
			}
		})
	}
}

func TestReportRollsUpInItsTransaction(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	long := strings.Repeat("é", 300)
	entry := report(t, s, r.ID, fleet.NewReport{AdapterName: "validation", Phase: complete, Message: long, Data: json.RawMessage(`{"policies":3}`)})
	got := get(t, s, r.ID)
	if got.Status.Phase != fleet.Provisioning || got.Status.LastTransitionTime != entry.CreatedAt || got.ResourceVersion != "m1.s1" || got.UpdatedAt != r.UpdatedAt || got.Status.ObservedGeneration != 1 {
		t.Errorf("after a report: %s %+v", got.ResourceVersion, got.Status)
	}
	if a, _ := got.Status.Adapter("validation"); a.Message != long || string(a.Data) != `{"policies": 3}` {
		t.Errorf("GET by id shows %d bytes of message, data %s", len(a.Message), a.Data)
	}
	list, err := s.list(t.Context(), clusters, all, resource.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := list.Items[0].Status.Adapter("validation"); a.Message != long[:256] || a.Data != nil {
		t.Errorf("a list shows %d bytes of message, data %s", len(a.Message), a.Data)
	}
	want := fleet.Schedule{WakeAt: r.CreatedAt.Time, WakeReason: fleet.GenerationChanged, Wakes: 2, Base: entry.CreatedAt.Time}
	if diff := cmp.Diff(want, scheduleOf(t, s, r.ID)); diff != "" {
		t.Errorf("schedule (-want +got):\n%s", diff)
	}
	report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: complete})
	if got := scheduleOf(t, s, r.ID); get(t, s, r.ID).Status.Phase != fleet.Ready || !got.Ready || got.Wakes != 2 {
		t.Errorf("all Complete: schedule %+v", got)
	}
}

func TestIdenticalReportsFoldIntoOneEntry(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	n := fleet.NewReport{AdapterName: "dns", Phase: running, Message: "waiting", Data: json.RawMessage(`{"a":1,"b":[1]}`)}
	first := report(t, s, r.ID, n)
	n.Data = json.RawMessage(`{"b": [1.0], "a": 1}`)
	n.CheckedAt = &fleet.Time{Time: first.CreatedAt.Add(time.Hour)}
	second := report(t, s, r.ID, n)
	want := first
	want.Reports, want.CheckedAt, want.LastReportedAt = 2, n.CheckedAt, second.LastReportedAt
	if diff := cmp.Diff(want, second); diff != "" || !second.LastReportedAt.After(first.LastReportedAt.Time) {
		t.Errorf("folded entry (-want +got):\n%s", diff)
	}
	got := get(t, s, r.ID)
	if a, _ := got.Status.Adapter("dns"); a.CheckedAt == nil || got.Status.LastTransitionTime != second.LastReportedAt {
		t.Errorf("a folded report rolls up as well: %+v", got.Status)
	}
	if base := scheduleOf(t, s, r.ID).Base; !base.Equal(second.LastReportedAt.Time) {
		t.Errorf("base %v, want %v", base, second.LastReportedAt)
	}
	n.Message = "still waiting"
	third := report(t, s, r.ID, n)
	if ids := historyIDs(t, s, r.ID, ReportQuery{}); !cmp.Equal(ids, []string{third.ID, first.ID}) {
		t.Errorf("history %v, want newest first: %v", ids, []string{third.ID, first.ID})
	}
}

func TestReportOnAnOlderGenerationChangesNothingElse(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running})
	patch(t, s, r.ID, withSpec(`{"x":1}`))
	before, schedule := get(t, s, r.ID), scheduleOf(t, s, r.ID)
	n := fleet.NewReport{AdapterName: "dns", Phase: complete, ObservedGeneration: 1, RetryAfter: "1s", Data: json.RawMessage(`{"a":1}`)}
	stored := report(t, s, r.ID, n)
	again := report(t, s, r.ID, n)
	if stored.ObservedGeneration != 1 || again.ID != stored.ID || again.Reports != 2 {
		t.Errorf("stored %+v, again %+v", stored, again)
	}
	if diff := cmp.Diff(before, get(t, s, r.ID)); diff != "" {
		t.Errorf("the resource changed:\n%s", diff)
	}
	if diff := cmp.Diff(schedule, scheduleOf(t, s, r.ID)); diff != "" {
		t.Errorf("the schedule changed:\n%s", diff)
	}
	_, err := s.Report(t.Context(), clusters, all, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running, ObservedGeneration: 1})
	wantCode(t, err, fleet.StaleGeneration)
	_, err = s.Report(t.Context(), clusters, all, r.ID, fleet.NewReport{AdapterName: "dns", Phase: pending, ObservedGeneration: 1})
	wantCode(t, err, fleet.Superseded)
}

func TestRetryWakesAtItsMomentAndTheEarlierStays(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	publishAll(t, s)
	first := report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running, RetryAfter: "1h"})
	if want := first.CreatedAt.Add(time.Hour); first.RetryAt == nil || !first.RetryAt.Equal(want) {
		t.Fatalf("retry at %v, want %v", first.RetryAt, want)
	}
	report(t, s, r.ID, fleet.NewReport{AdapterName: "validation", Phase: running, RetryAfter: "2h"})
	if got := scheduleOf(t, s, r.ID); !got.WakeAt.Equal(first.RetryAt.Time) || got.WakeReason != fleet.Retry || got.Wakes != 3 {
		t.Errorf("schedule %+v", got)
	}
	if due := dueIDs(t, s, schedule.Query{Backoff: fleet.Backoff{NotReady: time.Hour, Ready: time.Hour}}); len(due) != 0 {
		t.Errorf("due before its moment: %v", due)
	}
	patch(t, s, r.ID, withLabels(map[string]string{"a": "b"}))
	if got := scheduleOf(t, s, r.ID); got.WakeReason != fleet.Requested || got.Wakes != 4 {
		t.Errorf("schedule %+v", got)
	}
}

func TestOnlyTheLatestReportCanChange(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx := t.Context()
	r := create(t, s, "a", nil)
	old := report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running, Message: "first"})
	entry := report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: failed, Message: "broken", Data: json.RawMessage(`{"a":1}`)})
	message := "broken: quota"
	_, err := s.PatchReport(ctx, clusters, all, r.ID, old.ID, fleet.ReportPatch{Message: &message})
	wantCode(t, err, fleet.NotLatest)
	wantCode(t, s.DeleteReport(ctx, clusters, all, r.ID, old.ID), fleet.NotLatest)
	patched, err := s.PatchReport(ctx, clusters, all, r.ID, entry.ID, fleet.ReportPatch{Message: &message})
	if err != nil || patched.Message != message || string(patched.Data) != `{"a": 1}` {
		t.Fatalf("patched %+v, %v", patched, err)
	}
	got := get(t, s, r.ID)
	if a, _ := got.Status.Adapter("dns"); a.Message != message || got.Status.Conditions[0].Message != "dns: "+message || got.ResourceVersion != "m1.s3" {
		t.Errorf("after the patch: %s %+v", got.ResourceVersion, got.Status)
	}
	if _, err := s.PatchReport(ctx, clusters, all, r.ID, entry.ID, fleet.ReportPatch{Message: &message}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, get(t, s, r.ID)); diff != "" {
		t.Errorf("a patch that changes nothing changed:\n%s", diff)
	}
	if patched, err = s.PatchReport(ctx, clusters, all, r.ID, entry.ID, fleet.ReportPatch{Data: json.RawMessage("null")}); err != nil || string(patched.Data) != "{}" {
		t.Errorf("data that is null: %s, %v", patched.Data, err)
	}
	for i, want := range []fleet.Phase{fleet.Provisioning, fleet.Pending} {
		id := []string{entry.ID, old.ID}[i]
		if err := s.DeleteReport(ctx, clusters, all, r.ID, id); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, r.ID); got.Status.Phase != want || len(got.Status.Adapters) != 1-i {
			t.Errorf("after deleting report %d: %+v", i, got.Status)
		}
		_, err = s.GetReport(ctx, clusters, all, r.ID, id, false)
		wantCode(t, err, fleet.NotFound)
	}
	report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running, Message: "anew"})
}

// history collects one page of a history.
func history(ctx context.Context, s *Store, t fleet.TypeInfo, sc tenant.Scope, id string, q ReportQuery) (fleet.ReportList, error) {
	var items []fleet.Report
	out, err := s.Reports(ctx, t, sc, id, q, func(r fleet.Report) error {
		items = append(items, r)
		return nil
	})
	out.Items = items
	return out, err
}

func historyIDs(t testing.TB, s *Store, id string, q ReportQuery) []string {
	t.Helper()
	var ids []string
	for {
		page, err := history(t.Context(), s, clusters, all, id, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			ids = append(ids, r.ID)
		}
		if page.Continue == "" {
			return ids
		}
		q.Continue = page.Continue
	}
}

// TestConcurrentReportersLoseNothing: every adapter's reports arrive at once,
// and the roll-up is of all of them.
func TestConcurrentReportersLoseNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	const adapters, each = 6, 8
	var wg sync.WaitGroup
	for a := range adapters {
		adapter := append(required, "x", "y", "z", "w")[a]
		wg.Go(func() {
			for i := range each {
				phase := running
				if i == each-1 {
					phase = complete
				}
				if _, err := s.Report(t.Context(), clusters, all, r.ID, fleet.NewReport{AdapterName: adapter, Phase: phase, Message: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := get(t, s, r.ID)
	if got.Status.Phase != fleet.Ready || len(got.Status.Adapters) != adapters || got.ResourceVersion != fmt.Sprintf("m1.s%d", adapters*each) {
		t.Errorf("phase %s, %d adapters, version %s", got.Status.Phase, len(got.Status.Adapters), got.ResourceVersion)
	}
	ids := historyIDs(t, s, r.ID, ReportQuery{Limit: 7})
	moments := map[string]bool{}
	for i, id := range ids {
		entry, err := s.GetReport(t.Context(), clusters, all, r.ID, id, false)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && id >= ids[i-1] {
			t.Errorf("entry %d is not older than the one before it", i)
		}
		moments[entry.CreatedAt.String()] = true
	}
	if len(ids) != adapters*each || len(moments) != adapters*each {
		t.Errorf("%d entries at %d moments, want %d of both", len(ids), len(moments), adapters*each)
	}
	dns := historyIDs(t, s, r.ID, ReportQuery{Adapter: "dns", Limit: 3})
	if len(dns) != each || !cmp.Equal(dns, dns, cmpopts.SortSlices(func(a, b string) bool { return a > b })) {
		t.Errorf("%d entries of one adapter, want %d", len(dns), each)
	}
}

func TestCursorBelongsToItsList(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx := t.Context()
	for i := range 3 {
		create(t, s, name(i), nil)
	}
	list, err := s.list(ctx, clusters, all, resource.Query{Limit: 1})
	if err != nil || list.Continue == "" {
		t.Fatalf("%+v %v", list, err)
	}
	due, err := s.Due(ctx, clusters, schedule.Query{Limit: 1})
	if err != nil || due.Continue == "" {
		t.Fatalf("%+v %v", due, err)
	}
	for _, q := range []resource.Query{
		{Continue: list.Continue, Name: "c-1"}, {Continue: list.Continue, Deleted: true}, {Continue: due.Continue}, {Continue: "x"}, {Continue: "!!"},
		{Continue: list.Continue, Phases: []fleet.Phase{fleet.Ready}}, {Continue: list.Continue[:10]}, {Continue: "e30"},
	} {
		_, err := s.list(ctx, clusters, all, q)
		wantCode(t, err, fleet.BadRequest)
	}
	_, err = s.list(ctx, clusters, tenant.Only("default"), resource.Query{Continue: list.Continue})
	wantCode(t, err, fleet.BadRequest)
	_, err = s.Due(ctx, clusters, schedule.Query{Continue: due.Continue, Backoff: fleet.Backoff{Ready: 1}})
	wantCode(t, err, fleet.BadRequest)
	_, err = s.Due(ctx, clusters, schedule.Query{Continue: list.Continue})
	wantCode(t, err, fleet.BadRequest)
}
