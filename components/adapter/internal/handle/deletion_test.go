package handle_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// known is an adapter that is required for the types, and registered for them
// unless it is not registered at all.
func known(name string, registered bool, types []fleet.ResourceType, dependencies ...string) fleet.Adapter {
	a := fleet.Adapter{Name: name, RequiredFor: types}
	if registered {
		a.Instances = []fleet.AdapterInstance{{}}
		a.ResourceTypes, a.Dependencies = types, dependencies
	}
	return a
}

var (
	both         = []fleet.ResourceType{fleet.Clusters, fleet.NodePools}
	clustersOnly = []fleet.ResourceType{fleet.Clusters}
)

func TestDeletion(t *testing.T) {
	self := known("dns", true, both, "validation")
	for _, tc := range []struct {
		name    string
		world   world
		kind    broker.OutcomeKind
		reports []string
	}{
		{"with nobody who builds on it, it is Complete and makes no Job", world{dns: "Complete", known: []fleet.Adapter{self, known("validation", true, both)}},
			broker.Acked, []string{"Complete a1: nothing to do for the deletion"}},
		{"it waits for those who build on it", world{known: []fleet.Adapter{self, known("validation", true, both, "dns"), known("hypershift", true, both, "dns")}},
			broker.Acked, []string{"Pending a1: deletion waits for validation, hypershift"}},
		{"it goes on once they are Complete for this generation", world{dns: "Complete", known: []fleet.Adapter{self, known("validation", true, both, "dns")}},
			broker.Acked, []string{"Complete a1: nothing to do for the deletion"}},
		{"it waits for those of whom nobody knows on whom they build", world{known: []fleet.Adapter{self, known("validation", false, both)}},
			broker.Acked, []string{"Pending a1: deletion waits for the registration of validation"}},
		{"one that is not registered but Complete keeps nobody waiting", world{dns: "Complete", known: []fleet.Adapter{self, known("validation", false, both)}},
			broker.Acked, []string{"Complete a1: nothing to do for the deletion"}},
		{"those who do not take part are not waited for", world{known: []fleet.Adapter{self, known("extra", true, nil, "dns")}},
			broker.Acked, []string{"Complete a1: nothing to do for the deletion"}},
		{"it waits for a Job of an older generation to stop", world{running: true, known: []fleet.Adapter{self}},
			broker.Acked, []string{"Pending a1: deletion waits for a job that is being cancelled"}},
		{"a reason that is known is not sent again", world{known: []fleet.Adapter{self, known("validation", true, both, "dns")},
			own: &fleet.AdapterStatus{Phase: "Pending", Attempt: 1, Message: "deletion waits for validation"}}, broker.Acked, nil},
		{"Complete is acknowledged", world{own: &fleet.AdapterStatus{Phase: "Complete", Attempt: 1}}, broker.Acked, nil},
		{"a list of adapters that cannot be had pauses", world{adapters: code(fleet.Unavailable)}, broker.Paused, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := tc.world
			w.deleted = true
			h, _ := handler(t, &w)
			if got := h.Handle(t.Context(), delivery(t)); got.Kind != tc.kind {
				t.Errorf("outcome %+v, want kind %d", got, tc.kind)
			}
			if diff := cmp.Diff(tc.reports, w.phases(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			if len(w.jobs) > 0 {
				t.Errorf("jobs %v", w.jobs)
			}
			for _, what := range w.cancelled {
				if what != "dns clusters "+id+" before 2" {
					t.Errorf("cancelled %s", what)
				}
			}
		})
	}
}

func TestAPausedResourceIsLeftAlone(t *testing.T) {
	w := world{dns: "Complete", paused: true}
	h, _ := handler(t, &w)
	if got := h.Handle(t.Context(), delivery(t)); got.Kind != broker.Acked || len(w.reports)+len(w.jobs) > 0 {
		t.Errorf("outcome %+v, reports %v, jobs %v", got, w.phases(), w.jobs)
	}
}

func TestPools(t *testing.T) {
	for _, tc := range []struct {
		name    string
		world   world
		kind    broker.OutcomeKind
		reports []string
	}{
		{"a pool gets a Job of its own", world{dns: "Complete"}, broker.Acked, []string{"Running a1: job " + jobName}},
		{"a dependency that has nothing to do with pools is not waited for", world{known: []fleet.Adapter{known("validation", true, clustersOnly)}},
			broker.Acked, []string{"Running a1: job " + jobName}},
		{"one that has is waited for", world{known: []fleet.Adapter{known("validation", true, both)}}, broker.Acked, []string{"Pending a1: waiting for validation"}},
		{"one of which that is not known is waited for", world{known: []fleet.Adapter{known("validation", false, clustersOnly)}},
			broker.Acked, []string{"Pending a1: waiting for validation"}},
		{"the adapters that cannot be asked for pause", world{adapters: code(fleet.Unavailable)}, broker.Paused, nil},
		{"a pool whose cluster is gone is acknowledged", world{dns: "Complete", owner: code(fleet.NotFound)}, broker.Acked, nil},
		{"a cluster that cannot be fetched pauses", world{dns: "Complete", owner: code(fleet.Unavailable)}, broker.Paused, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := tc.world
			w.pool = true
			h, _ := handler(t, &w)
			if got := h.Handle(t.Context(), deliveryAbout(t, fleet.NodePools, id)); got.Kind != tc.kind {
				t.Errorf("outcome %+v, want kind %d", got, tc.kind)
			}
			if diff := cmp.Diff(tc.reports, w.phases(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			for _, j := range w.jobs {
				if j.ClusterID != ownerID || j.Identity.ResourceType != fleet.NodePools || j.Identity.ResourceID != id ||
					len(j.Input["cluster.json"]) == 0 || len(j.Input["nodepool.json"]) == 0 {
					t.Errorf("the job is %+v", j)
				}
			}
		})
	}
}

func TestDeletionWithAJobOfItsOwn(t *testing.T) {
	self := known("dns", true, both, "validation")
	const name = jobName + "-d"
	for _, tc := range []struct {
		name    string
		world   world
		reports []string
		jobs    []string
	}{
		{"it runs once nobody builds on what it undoes", world{known: []fleet.Adapter{self}}, []string{"Running a1: job " + name}, []string{name}},
		{"it waits for those who do", world{known: []fleet.Adapter{self, known("hypershift", true, both, "dns")}}, []string{"Pending a1: deletion waits for hypershift"}, nil},
		{"it waits until the pods of older Jobs are gone", world{running: true, known: []fleet.Adapter{self}}, []string{"Pending a1: deletion waits for a job that is being cancelled"}, nil},
		{"one that has begun is seen through", world{own: &fleet.AdapterStatus{Phase: "Running", Attempt: 1}}, []string{"Running a1: job " + name}, []string{name}},
		{"one that failed is tried again", world{known: []fleet.Adapter{self}, own: &fleet.AdapterStatus{Phase: "Running", Attempt: 1, RetryAt: new(fleet.At(eventTime))}},
			[]string{"Running a2: job " + jobName + "-r2-d"}, []string{jobName + "-r2-d"}},
		{"one that is Complete is left alone", world{own: &fleet.AdapterStatus{Phase: "Complete", Attempt: 1}}, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := tc.world
			w.deleted = true
			h, _ := handlerOf(t, &w, func(s *v1alpha1.AdapterConfigSpec) {
				s.Deletion = &v1alpha1.Deletion{JobTemplate: v1alpha1.JobTemplate{Image: "undo-dns"}}
			})
			if got := h.Handle(t.Context(), delivery(t)); got.Kind != broker.Acked {
				t.Errorf("outcome %+v", got)
			}
			if diff := cmp.Diff(tc.reports, w.phases(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			var jobs []string
			for _, j := range w.jobs {
				jobs = append(jobs, j.Name)
				if j.Template.Image != "undo-dns" || j.Identity.Mode != jobspec.ModeDelete {
					t.Errorf("the job is %+v", j)
				}
			}
			if diff := cmp.Diff(tc.jobs, jobs, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANewGenerationCancelsOlderJobsBeforeItsOwnMayStart(t *testing.T) {
	w := world{} // validation is not Complete yet
	h, _ := handler(t, &w)
	h.Handle(t.Context(), delivery(t))
	if diff := cmp.Diff([]string{"dns clusters " + id + " before 2"}, w.cancelled); diff != "" {
		t.Errorf("cancelled (-want +got):\n%s", diff)
	}
	w = world{own: &fleet.AdapterStatus{Phase: "Pending", Attempt: 1}} // it was seen before
	h.Handle(t.Context(), delivery(t))
	if len(w.cancelled) > 0 {
		t.Errorf("cancelled again: %v", w.cancelled)
	}
}
