package postgres

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func pause(d *desired.State)   { d.Paused = true }
func unpause(d *desired.State) { d.Paused = false }

func TestWhatIsPausedIsNeverDue(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	token := walkDue(t, s, schedule.Query{})[0].Token
	c.report("dns", running)
	paused := c.mustPatch(pause)
	if !paused.Paused || paused.Generation != 1 || paused.ResourceVersion != "m2.s1" {
		t.Errorf("%+v", paused)
	}
	nothing := func(after string) {
		t.Helper()
		if due := dueIDs(t, s, schedule.Query{}); len(due) != 0 || !c.schedule().Parked {
			t.Errorf("after %s: due %v, schedule %+v", after, due, c.schedule())
		}
	}
	nothing("the pause")
	if err := s.Published(t.Context(), clusters, []string{token}, fleet.Backoff{}); err != nil {
		t.Fatal(err)
	}
	nothing("an event that was under way")
	if _, err := s.Report(t.Context(), clusters, all, c.id, fleet.NewReport{AdapterName: "dns", Phase: running, Message: "x", RetryAfter: "0s"}); err != nil {
		t.Fatal(err)
	}
	c.report("dns", complete)
	c.report("validation", complete)
	c.is(fleet.Ready, "")
	nothing("reports")
	c.mustPatch(func(d *desired.State) {
		d.Spec, d.Labels = json.RawMessage(`{"n":1}`), map[string]string{"region": "eu-west"}
	})
	c.is(fleet.Pending, "")
	nothing("a new spec")
	_, err := s.Reconcile(t.Context(), clusters, all, c.id, nil)
	wantCode(t, err, fleet.Conflict)
	before := c.schedule()
	again := c.mustPatch(unpause)
	want := before.Resume(again.UpdatedAt.Time, fleet.Requested)
	if diff := cmp.Diff(want, c.schedule()); diff != "" {
		t.Errorf("unpaused (-want +row):\n%s", diff)
	}
	if err := s.Published(t.Context(), clusters, []string{token}, fleet.Backoff{}); err != nil || c.schedule().WakeAt.IsZero() {
		t.Errorf("a token from before the pause took the wake-up away: %+v, %v", c.schedule(), err)
	}

	born, err := s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "b", Paused: true}, once.Request{})
	if err != nil || !scheduleOf(t, s, born.ID).Parked {
		t.Errorf("born paused: %+v, %v", born, err)
	}
}

func TestReconcileBeginsAnotherAttempt(t *testing.T) {
	t.Parallel()
	s := open(t)
	again := func(c on, adapters ...string) fleet.Resource {
		t.Helper()
		r, err := s.Reconcile(t.Context(), c.t, all, c.id, adapters)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	asked := func(r fleet.Resource) []string {
		var names []string
		for _, a := range r.Status.Adapters {
			if a.Phase == pending && a.Message == askedAgain && a.AttemptBase == a.Attempt {
				names = append(names, a.AdapterName)
			}
		}
		slices.Sort(names)
		return names
	}
	c := cluster(t, s, "a")
	c.report("validation", complete)
	for attempt := 1; attempt <= 3; attempt++ {
		report(t, s, c.id, fleet.NewReport{AdapterName: "dns", Phase: failed, Attempt: attempt})
	}
	report(t, s, c.id, fleet.NewReport{AdapterName: "extra", Phase: running})
	publishAll(t, s)
	before := c.schedule()

	r := again(c)
	dns, _ := r.Status.Adapter("dns")
	if !slices.Equal(asked(r), []string{"dns"}) || dns.Attempt != 3 || dns.AttemptBase != 3 || dns.ObservedGeneration != 1 || r.Status.Phase != fleet.Provisioning || r.ResourceVersion != "m1.s6" {
		t.Errorf("the failed one: %+v", r)
	}
	want := before.Reported(false, r.Status.LastTransitionTime.Time).Wake(r.Status.LastTransitionTime.Time, fleet.Requested)
	if diff := cmp.Diff(want, c.schedule()); diff != "" {
		t.Errorf("schedule (-want +row):\n%s", diff)
	}
	for phase, code := range map[fleet.ReportPhase]fleet.Code{running: fleet.Superseded, complete: fleet.Superseded, failed: fleet.Superseded, pending: ""} {
		_, err := s.Report(t.Context(), clusters, all, c.id, fleet.NewReport{AdapterName: "dns", Phase: phase, Attempt: 3, Message: "late"})
		wantCode(t, err, code)
	}
	next := report(t, s, c.id, fleet.NewReport{AdapterName: "dns", Phase: running, Attempt: 4})
	if next.AttemptBase != 3 {
		t.Errorf("the next attempt forgot where its retries count from: %+v", next)
	}

	if r = again(c); !slices.Equal(asked(r), []string{"validation"}) { // nothing Failed: all that are final
		t.Errorf("all: %v", asked(r))
	}
	report(t, s, c.id, fleet.NewReport{AdapterName: "dns", Phase: complete, Attempt: 4})
	report(t, s, c.id, fleet.NewReport{AdapterName: "extra", Phase: failed})
	_, err := s.Reconcile(t.Context(), c.t, all, c.id, []string{"dns", "unheard-of"})
	wantCode(t, err, fleet.Invalid)
	if r = again(c, "dns"); !slices.Equal(asked(r), []string{"dns", "validation"}) {
		t.Errorf("by name: %v", asked(r))
	}
	version := r.ResourceVersion
	wakes := c.schedule().Wakes
	if r = again(c, "dns"); r.ResourceVersion != version || c.schedule().Wakes != wakes+1 {
		t.Errorf("nothing to take back: %+v", r)
	}

	d := cluster(t, s, "b")
	for _, adapter := range []string{"validation", "dns", "x", "y"} {
		d.report(adapter, complete)
	}
	if r = again(d); len(asked(r)) != 4 || r.Status.Phase != fleet.Pending {
		t.Errorf("%+v", r.Status)
	}
	ids := historyIDs(t, s, d.id, ReportQuery{})
	moments := map[string]bool{}
	for _, id := range ids {
		entry, err := s.GetReport(t.Context(), clusters, all, d.id, id, false)
		if err != nil {
			t.Fatal(err)
		}
		moments[entry.CreatedAt.String()] = true
	}
	if len(ids) != 8 || len(moments) != 8 {
		t.Errorf("%d entries at %d moments", len(ids), len(moments))
	}
	report(t, s, d.id, fleet.NewReport{AdapterName: "dns", Phase: failed, Attempt: 2})
	d.mustPatch(func(d *desired.State) { d.Spec = json.RawMessage(`{"n":2}`) })
	if r = again(d); slices.Contains(asked(r), "dns") {
		t.Errorf("a report on an older generation was taken back: %+v", r.Status)
	}
	d.delete(false)
	d.report("dns", failed)
	if r = again(d); r.Status.Phase != fleet.Deleting || !slices.Contains(asked(r), "dns") {
		t.Errorf("while deleting: %+v", r.Status)
	}
}

func TestTheRegistryIsTheUnionOfInstances(t *testing.T) {
	t.Parallel()
	s := open(t)
	oldest := fleet.At(now(t, s))
	register(t, s, "dns", fleet.NewAdapterInstance{Instance: "a", ResourceTypes: ofClusters, Dependencies: []string{"validation"}, Version: "1"})
	register(t, s, "dns", fleet.NewAdapterInstance{Instance: "b", ResourceTypes: []fleet.ResourceType{fleet.NodePools}, Dependencies: []string{"placement", "validation"},
		HasDeletion: true, DeadLetters: fleet.DeadLetters{Count: 3, Oldest: &oldest}})
	register(t, s, "dns", fleet.NewAdapterInstance{Instance: "a", ResourceTypes: ofClusters, Version: "2"})
	register(t, s, "extra", fleet.NewAdapterInstance{ResourceTypes: ofClusters})
	got, err := s.Adapters(t.Context())
	if err != nil || len(got.Items) != 3 || got.Items[0].Name != "dns" || got.Items[1].Name != "extra" || got.Items[2].Name != "validation" {
		t.Fatalf("%+v, %v", got, err)
	}
	dns := got.Items[0]
	for i := range dns.Instances {
		dns.Instances[i].UpdatedAt = fleet.Time{}
	}
	want := fleet.Adapter{
		Name: "dns", Kind: "Adapter", RequiredFor: ofClusters, ResourceTypes: []fleet.ResourceType{fleet.Clusters, fleet.NodePools},
		Dependencies: []string{"placement", "validation"}, HasDeletion: true,
		Instances: []fleet.AdapterInstance{
			{NewAdapterInstance: fleet.NewAdapterInstance{Instance: "a", ResourceTypes: ofClusters, Dependencies: []string{}, Version: "2"}},
			{NewAdapterInstance: fleet.NewAdapterInstance{Instance: "b", ResourceTypes: []fleet.ResourceType{fleet.NodePools},
				Dependencies: []string{"placement", "validation"}, HasDeletion: true, DeadLetters: fleet.DeadLetters{Count: 3, Oldest: &oldest}}},
		},
	}
	if diff := cmp.Diff(want, dns); diff != "" {
		t.Errorf("adapter (-want +got):\n%s", diff)
	}
	if v := got.Items[2]; v.Registered() || len(v.RequiredFor) != 2 {
		t.Errorf("required, but not registered: %+v", v)
	}
	if err := s.UnregisterAdapter(t.Context(), "dns", "b"); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Adapter(t.Context(), "dns"); err != nil || left.HasDeletion || len(left.Instances) != 1 {
		t.Errorf("%+v, %v", left, err)
	}
	_, err = s.Adapter(t.Context(), "nobody")
	wantCode(t, err, fleet.NotFound)
	if _, err := asOwner(t, s).ExecContext(t.Context(), `INSERT INTO adapters SELECT 'many', n::text, '{clusters}', '{}', false, '', 0, NULL, now() FROM generate_series(1, $1) n`, registry.MaxInstances); err != nil {
		t.Fatal(err)
	}
	_, err = s.RegisterAdapter(t.Context(), "many", fleet.NewAdapterInstance{Instance: "one-more", ResourceTypes: ofClusters})
	wantCode(t, err, fleet.Conflict)
	register(t, s, "many", fleet.NewAdapterInstance{Instance: "7", ResourceTypes: ofClusters}) // renewed
}
