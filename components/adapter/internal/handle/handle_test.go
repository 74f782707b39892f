package handle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/handle"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/precondition"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	id      = "0190b6a0-1234-7000-8000-0000000000aa"
	ownerID = "0190b6a0-1234-7000-8000-0000000000cc"
	jobName = "dns-adapter-0190b6a01234700080000000000000aa-g2"
)

var eventTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is what a handler meets; its fields say how it answers.
type world struct {
	poison    string // id of the one resource that the API fails on
	pool      bool   // the event is about a pool of the cluster
	running   bool   // a Job of an older generation
	cancelled []string
	paused    bool
	deleted   bool // deletion has started
	owner     error
	own       *fleet.AdapterStatus
	dns       string // generation 2's phase of the dependency
	phase     fleet.Phase
	get       error
	report    func(fleet.NewReport) error
	ensure    error
	cancel    error
	exists    bool
	known     []fleet.Adapter
	adapters  error
	reports   []fleet.NewReport
	jobs      []jobspec.Job
}

func (w *world) Get(_ context.Context, typ fleet.ResourceType, id string) (fleet.Resource, error) {
	if w.poison == id {
		return fleet.Resource{}, code(fleet.Internal)
	}
	if w.pool && typ == fleet.Clusters {
		return fleet.Resource{ID: ownerID, Name: "prod-7"}, w.owner
	}
	r := fleet.Resource{ID: id, Generation: 2, Status: fleet.Status{Phase: w.phase}}
	r.Paused = w.paused
	if w.pool {
		r.Owner = &fleet.Owner{ID: ownerID}
	}
	if w.deleted {
		r.DeletionAt = new(fleet.At(eventTime))
	}
	if w.dns != "" {
		r.Status.Adapters = append(r.Status.Adapters, fleet.AdapterStatus{
			AdapterName: "validation", Phase: fleet.ReportPhase(w.dns), ObservedGeneration: 2, Attempt: 1, Data: json.RawMessage(`{"policies":4}`),
		})
	}
	if w.own != nil {
		own := *w.own
		own.AdapterName, own.ObservedGeneration = "dns", 2
		r.Status.Adapters = append(r.Status.Adapters, own)
	}
	return r, w.get
}

func (w *world) Report(_ context.Context, _ fleet.ResourceType, _ string, n fleet.NewReport) (fleet.Report, error) {
	w.reports = append(w.reports, n)
	if w.report != nil {
		return fleet.Report{}, w.report(n)
	}
	return fleet.Report{}, nil
}

func (w *world) Adapters(context.Context) ([]fleet.Adapter, error) { return w.known, w.adapters }

func (w *world) Ensure(_ context.Context, j jobspec.Job) (bool, error) {
	w.jobs = append(w.jobs, j)
	return !w.exists && w.ensure == nil, w.ensure
}

func (w *world) Cancel(_ context.Context, adapter string, s jobspec.Subject) (bool, error) {
	w.cancelled = append(w.cancelled, fmt.Sprintf("%s %s %s before %d", adapter, s.Type, s.Resource.ID, s.Resource.Generation))
	return !w.running, w.cancel
}

// phases lists what was reported, for comparison.
func (w *world) phases() []string {
	var out []string
	for _, r := range w.reports {
		s := fmt.Sprintf("%s a%d: %s", r.Phase, r.Attempt, r.Message)
		if r.RetryAfter != "" {
			s += " retry " + r.RetryAfter
		}
		out = append(out, s)
	}
	return out
}

func handler(t *testing.T, w *world) (*handle.Handler, *prometheus.Registry) {
	t.Helper()
	return handlerOf(t, w, func(*v1alpha1.AdapterConfigSpec) {})
}

// handlerOf is the handler of a configuration that change has changed.
func handlerOf(t *testing.T, w *world, change func(*v1alpha1.AdapterConfigSpec)) (*handle.Handler, *prometheus.Registry) {
	t.Helper()
	cfg := v1alpha1.AdapterConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "dns-adapter"},
		Spec: v1alpha1.AdapterConfigSpec{
			AdapterType: "dns", ResourceTypes: []string{"clusters", "nodepools"}, Criteria: v1alpha1.Criteria{Dependencies: []string{"validation"}},
			HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://hyperfleet-api:8080"},
			JobTemplate:   v1alpha1.JobTemplate{Image: "dns-job"},
		},
	}
	change(&cfg.Spec)
	cfg = cfg.Defaults()
	chain, err := precondition.Compile([]string{"validation"}, []string{"cluster", "nodepool"}, []string{"cluster.status.phase != 'Ready'"}, func(int) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	m, err := handle.NewMetrics(registry, "dns", func() int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	return handle.New(cfg, chain, w, w, m, slog.New(slog.DiscardHandler)), registry
}

func delivery(t *testing.T) broker.Delivery { return deliveryAbout(t, fleet.Clusters, id) }

func deliveryOf(t *testing.T, id string) broker.Delivery { return deliveryAbout(t, fleet.Clusters, id) }

func deliveryAbout(t *testing.T, typ fleet.ResourceType, id string) broker.Delivery {
	t.Helper()
	e, err := reconcile.Event("sentinel-operator/test", fleet.ReconcileEvent{
		ResourceType: typ, ResourceID: id, Reason: fleet.BackoffExpired, Generation: 2,
	}, fleet.At(eventTime))
	if err != nil {
		t.Fatal(err)
	}
	return broker.Delivery{Event: e, Attempt: 1}
}

func code(c fleet.Code) error { return fleet.Errorf(c, "because") }

func TestHandle(t *testing.T) {
	later := fleet.At(eventTime.Add(time.Second))
	on := func(phase fleet.ReportPhase, c fleet.Code) func(fleet.NewReport) error {
		return func(r fleet.NewReport) error {
			if r.Phase == phase {
				return code(c)
			}
			return nil
		}
	}
	intent := "Running a1: job " + jobName
	for _, tc := range []struct {
		name    string
		world   world
		kind    broker.OutcomeKind
		reports []string
		jobs    []string
	}{
		{"what may start is reported Running and gets its Job", world{dns: "Complete"}, broker.Acked, []string{intent}, []string{jobName}},
		{"a Job that exists already is success", world{dns: "Complete", exists: true}, broker.Acked, []string{intent}, []string{jobName}},
		{"a resource that is gone is acknowledged", world{get: code(fleet.NotFound)}, broker.Acked, nil, nil},
		{"an API that is away pauses", world{get: code(fleet.Unavailable)}, broker.Paused, nil, nil},
		{"an API that does not take the token now pauses", world{get: code(fleet.Unauthenticated)}, broker.Paused, nil, nil},
		{"an API that is asked too often pauses", world{get: code(fleet.RateLimited)}, broker.Paused, nil, nil},
		{"an API that is broken pauses", world{get: code(fleet.Internal)}, broker.Paused, nil, nil},
		{"an API that answers oddly puts the event off", world{get: code(fleet.BadRequest)}, broker.Retried, nil, nil},
		{"a missing dependency is Pending with the reason", world{}, broker.Acked, []string{"Pending a1: waiting for validation"}, nil},
		{"a dependency that is not Complete is Pending", world{dns: "Running"}, broker.Acked, []string{"Pending a1: waiting for validation"}, nil},
		{"a false precondition is Pending with the reason", world{dns: "Complete", phase: "Ready"}, broker.Acked,
			[]string{"Pending a1: precondition not met: cluster.status.phase != 'Ready'"}, nil},
		{"Pending that is known is not sent again", world{own: &fleet.AdapterStatus{Phase: "Pending", Attempt: 1, Message: "waiting for validation"}}, broker.Acked, nil, nil},
		{"Pending for another reason is sent", world{own: &fleet.AdapterStatus{Phase: "Pending", Attempt: 1, Message: "waiting for dns"}}, broker.Acked,
			[]string{"Pending a1: waiting for validation"}, nil},
		{"Pending that the API cannot take pauses", world{report: on("Pending", fleet.Unavailable)}, broker.Paused, []string{"Pending a1: waiting for validation"}, nil},
		{"Pending that is outdated is acknowledged", world{report: on("Pending", fleet.Superseded)}, broker.Acked, []string{"Pending a1: waiting for validation"}, nil},
		{"an intent for a resource that is gone creates nothing", world{dns: "Complete", report: on("Running", fleet.NotFound)}, broker.Acked, []string{intent}, nil},
		{"an intent for an old generation creates nothing", world{dns: "Complete", report: on("Running", fleet.StaleGeneration)}, broker.Acked, []string{intent}, nil},
		{"an intent that was superseded creates nothing", world{dns: "Complete", report: on("Running", fleet.Superseded)}, broker.Acked, []string{intent}, nil},
		{"an intent that is not stored creates nothing", world{dns: "Complete", report: on("Running", fleet.Unavailable)}, broker.Paused, []string{intent}, nil},
		{"an intent that is refused puts the event off", world{dns: "Complete", report: on("Running", fleet.Invalid)}, broker.Retried, []string{intent}, nil},
		{"a runner that is away pauses", world{dns: "Complete", ensure: errors.New("disk full")}, broker.Paused, []string{intent}, []string{jobName}},
		{"a runner that throttles pauses", world{dns: "Complete", ensure: jobspec.ErrThrottled}, broker.Paused, []string{intent}, []string{jobName}},
		{"one of the same name that is leaving is waited for", world{dns: "Complete", ensure: jobspec.ErrLeaving}, broker.Acked, []string{intent}, []string{jobName}},
		{"a Job that cannot be fails", world{dns: "Complete", ensure: fmt.Errorf("%w: x", jobspec.ErrInvalid)}, broker.Acked,
			[]string{intent, "Failed a1: the job is invalid: x"}, []string{jobName}},
		{"a Job that is forbidden is told, and tried again", world{dns: "Complete", ensure: fmt.Errorf("%w: x", jobspec.ErrForbidden)}, broker.Acked,
			[]string{intent, "Running a1: no job yet, next try in 1m0s: the job is forbidden: x retry 1m0s"}, []string{jobName}},
		{"a quota that is used up is told, and tried again", world{dns: "Complete", ensure: fmt.Errorf("%w: x", jobspec.ErrQuota)}, broker.Acked,
			[]string{intent, "Running a1: no job yet, next try in 1m0s: the quota is used up: x retry 1m0s"}, []string{jobName}},
		{"a namespace that is gone is told, and tried again", world{dns: "Complete", ensure: fmt.Errorf("%w: x", jobspec.ErrNamespace)}, broker.Acked,
			[]string{intent, "Running a1: no job yet, next try in 1m0s: the namespace is gone: x retry 1m0s"}, []string{jobName}},
		{"older Jobs that cannot be asked for pause", world{cancel: errors.New("away")}, broker.Paused, nil, nil},
		{"a name that is taken fails", world{dns: "Complete", ensure: fmt.Errorf("%w: x", jobspec.ErrForeign)}, broker.Acked,
			[]string{intent, "Failed a1: the job's name is taken by something else: x"}, []string{jobName}},
		{"Complete is acknowledged", world{dns: "Complete", own: &fleet.AdapterStatus{Phase: "Complete", Attempt: 1}}, broker.Acked, nil, nil},
		{"Failed after the last attempt is acknowledged", world{dns: "Complete", own: &fleet.AdapterStatus{Phase: "Failed", Attempt: 4}}, broker.Acked, nil, nil},
		{"a failed attempt rests until its time", world{dns: "Complete", own: &fleet.AdapterStatus{Phase: "Running", Attempt: 1, RetryAt: &later}}, broker.Acked, nil, nil},
		{"a failed attempt whose time has come is followed by the next", world{dns: "Complete", own: &fleet.AdapterStatus{Phase: "Running", Attempt: 1, RetryAt: new(fleet.At(eventTime))}},
			broker.Acked, []string{"Running a2: job " + jobName + "-r2"}, []string{jobName + "-r2"}},
		{"a started attempt gets the same Job ensured after a restart", world{dns: "Complete", own: &fleet.AdapterStatus{Phase: "Running", Attempt: 2}}, broker.Acked,
			[]string{"Running a2: job " + jobName + "-r2"}, []string{jobName + "-r2"}},
		{"a started attempt is seen through whatever its preconditions say", world{dns: "Complete", phase: "Ready", own: &fleet.AdapterStatus{Phase: "Running", Attempt: 1}},
			broker.Acked, []string{intent}, []string{jobName}},
		{"a started attempt without its input waits", world{dns: "Pending", own: &fleet.AdapterStatus{Phase: "Running", Attempt: 1}}, broker.Acked, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := tc.world
			h, _ := handler(t, &w)
			if got := h.Handle(t.Context(), delivery(t)); got.Kind != tc.kind {
				t.Errorf("outcome %+v, want kind %d", got, tc.kind)
			}
			if diff := cmp.Diff(tc.reports, w.phases(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			var jobs []string
			for _, j := range w.jobs {
				jobs = append(jobs, j.Name)
				if got := string(j.Input[jobspec.DependenciesFile]); !strings.Contains(got, `"policies":4`) {
					t.Errorf("the dependencies' data are %s", got)
				}
			}
			if diff := cmp.Diff(tc.jobs, jobs, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABrokenAPIIsAnOutageUnlessItFailsOnOneResourceAlone(t *testing.T) {
	const poison, other = "0190b6a0-1234-7000-8000-0000000000bb", "0190b6a0-1234-7000-8000-0000000000cc"
	w := &world{}
	h, _ := handler(t, w)
	for n, step := range []struct {
		id     string
		broken bool // for all, not only for the poison
		want   broker.OutcomeKind
	}{
		{other, true, broker.Paused}, {other, true, broker.Paused}, {id, true, broker.Paused}, {id, true, broker.Paused},
		{other, false, broker.Acked}, {id, false, broker.Acked}, // the outage is over
		{poison, false, broker.Paused}, {poison, false, broker.Paused}, // so far no other tells
		{other, false, broker.Acked}, {poison, false, broker.Retried},
		{poison, false, broker.Paused}, {id, false, broker.Acked}, {poison, false, broker.Retried},
		{poison, true, broker.Paused}, {other, true, broker.Paused}, {poison, true, broker.Paused},
	} {
		w.poison, w.get = poison, nil
		if step.broken {
			w.get = code(fleet.Internal)
		}
		if got := h.Handle(t.Context(), deliveryOf(t, step.id)); got.Kind != step.want {
			t.Errorf("step %d: outcome %+v, want kind %d", n, got, step.want)
		}
	}
}

func TestHandleRejectsWhatItCannotRead(t *testing.T) {
	w := &world{dns: "Complete"}
	h, _ := handler(t, w)
	d := delivery(t)
	d.Event.DataEncoded = []byte(`{"resourceType":"clusters"`)
	if got := h.Handle(t.Context(), d); got.Kind != broker.Rejected || got.Reason == "" {
		t.Errorf("outcome %+v", got)
	}
	d = delivery(t)
	d.Event.SetType("com.example.unknown")
	if got := h.Handle(t.Context(), d); got.Kind != broker.Rejected {
		t.Errorf("outcome %+v", got)
	}
	if len(w.reports)+len(w.jobs) > 0 {
		t.Errorf("reports %v, jobs %v", w.reports, w.jobs)
	}
}

func TestAnAbandonedHandlerCountsNoDelivery(t *testing.T) {
	w := &world{get: context.Canceled}
	h, _ := handler(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := h.Handle(ctx, delivery(t)); got.Kind != broker.Paused {
		t.Errorf("outcome %+v", got)
	}
}

func TestRunningIsRepeatedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{dns: "Complete"}
		h, _ := handler(t, w)
		at := time.Now()
		for time.Since(at) < 150*time.Second { // at 0 s the intent, at 60 s and 120 s again
			if got := h.Handle(t.Context(), delivery(t)); got.Kind != broker.Acked {
				t.Fatalf("outcome %+v", got)
			}
			w.own = &fleet.AdapterStatus{Phase: "Running", Attempt: 1, Message: "job " + jobName}
			time.Sleep(10 * time.Second)
		}
		if len(w.reports) != 3 {
			t.Errorf("%d reports, want 3: %v", len(w.reports), w.phases())
		}
		for _, r := range w.reports {
			if diff := cmp.Diff(w.reports[0], r, cmpopts.IgnoreFields(fleet.NewReport{}, "LastTransitionTime")); diff != "" {
				t.Errorf("a repetition differs, so that it would not fold:\n%s", diff)
			}
		}
		if len(w.jobs) != 15 {
			t.Errorf("the job was ensured %d times, want 15", len(w.jobs))
		}
	})
}
