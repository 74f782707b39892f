package postgres

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func (w *world) create()       { w.born(false) }
func (w *world) createPaused() { w.born(true) }

func (w *world) born(paused bool) {
	set := w.labels()
	n := fleet.NewResource{Name: name(w.r.IntN(1 << 60)), Labels: set, Paused: paused}
	var r fleet.Resource
	var err error
	if w.kind.Owner == "" {
		r, err = w.s.Create(w.t.Context(), w.kind, "default", n, once.Request{})
	} else {
		if n.Labels = map[string]string{}; set["env"] != "" {
			n.Labels["env"] = set["env"]
		}
		r, err = w.s.CreateIn(w.t.Context(), w.kind, all, w.owner(set), n, once.Request{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m := &modelled{id: r.ID, labels: set, paused: n.Paused, required: w.s.Required[w.kind.Type], heard: map[string]bool{}, reports: map[string]said{}}
	m.schedule = fleet.Schedule{Base: r.CreatedAt.Time}.Wake(r.CreatedAt.Time, fleet.GenerationChanged)
	if n.Paused {
		m.schedule = m.schedule.Park()
	}
	w.resources = append(w.resources, m)
	w.check("create", m)
}

// owner is a cluster whose region, or lack of one, is that of the labels.
func (w *world) owner(set map[string]string) string {
	key, labels := "none", map[string]string{}
	if region, has := set["region"]; has {
		key, labels["region"] = "in "+region, region
	}
	if w.owners[key] == "" {
		w.owners[key] = create(w.t, w.s, name(w.r.IntN(1<<60)), labels).ID
	}
	return w.owners[key]
}

func (w *world) delete() {
	if len(w.resources) < 6 {
		return
	}
	m, force := w.any(), w.r.IntN(3) == 0
	got, err := w.s.Delete(w.t.Context(), w.kind, all, m.id, desired.Removal{Force: force})
	if err != nil {
		w.t.Fatal(err)
	}
	if gone := force || !m.deleting && !m.worked; gone != (got.DeletedAt != nil) {
		w.t.Fatalf("deleted with force %v, worked %v: %+v", force, m.worked, got)
	} else if gone {
		w.bury(m)
		return
	}
	if !m.deleting {
		m.deleting, m.paused, m.reports = true, false, map[string]said{}
		m.schedule.Ready = false
		m.schedule = m.schedule.Resume(got.DeletionAt.Time, fleet.Deletion)
	}
	w.check("delete", m)
}

// bury forgets what became a tombstone, and sees that it did.
func (w *world) bury(m *modelled) {
	if w.on(m).get().Status.Phase != fleet.Deleted {
		w.t.Errorf("%s is no tombstone", m.id)
	}
	w.resources = slices.DeleteFunc(w.resources, func(o *modelled) bool { return o == m })
}

func (w *world) report() {
	m := w.any()
	n := fleet.NewReport{
		AdapterName: pickOne(w.r, append(required, "extra")),
		Phase:       pickOne(w.r, []fleet.ReportPhase{pending, running, complete, complete, failed}),
		Message:     pickOne(w.r, []string{"", "other"}),
	}
	had := m.reports[n.AdapterName]
	if n.Attempt = max(had.attempt, 1); w.r.IntN(4) == 0 {
		n.Attempt++
	}
	if w.r.IntN(3) == 0 {
		n.RetryAfter = pickOne(w.r, []string{"0s", "1h", "5h"})
	}
	got, err := w.s.Report(w.t.Context(), w.kind, all, m.id, n)
	if n.Attempt == had.attempt && had.phase.Final() && !n.Phase.Final() || n.Attempt <= had.base && n.Phase != pending {
		wantCode(w.t, err, fleet.Superseded)
		w.check("a refused report", m)
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m.reports[n.AdapterName] = said{n.Phase, n.Attempt, had.base}
	m.heard[n.AdapterName] = true
	m.worked = m.worked || n.Phase != pending
	if m.over() {
		w.bury(m)
		return
	}
	at := got.LastReportedAt.Time
	m.schedule = m.schedule.Reported(m.ready(), at)
	if n.RetryAfter != "" {
		d, _ := time.ParseDuration(n.RetryAfter)
		m.schedule = m.schedule.Wake(at.Add(d), fleet.Retry)
	}
	if n.Phase == complete && had.phase != complete && !m.ready() {
		m.schedule = m.schedule.Wake(at, fleet.AdapterCompleted)
	}
	w.check("report", m)
}

func (w *world) patchSpec() {
	m := w.any()
	r, ok := w.patch(m, func(d *desired.State) { d.Spec = json.RawMessage(`{"n":` + database.JSON(w.r.IntN(1<<60)) + `}`) })
	if ok {
		m.reports = map[string]said{}
		m.schedule.Ready = false
		m.schedule = m.schedule.Wake(r.UpdatedAt.Time, fleet.GenerationChanged)
	}
	w.check("a new spec", m)
}

// patch changes a resource, unless it is being deleted.
func (w *world) patch(m *modelled, change func(*desired.State)) (fleet.Resource, bool) {
	r, err := w.on(m).patch(change)
	if m.deleting {
		wantCode(w.t, err, fleet.Conflict)
		return r, false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return r, true
}

func (w *world) patchLabels() {
	m := w.any()
	set := w.labels()
	if w.kind.Owner != "" { // its own region is the only one it may say
		region, has := m.labels["region"]
		if delete(set, "region"); has {
			set["region"] = region
		}
	}
	r, ok := w.patch(m, func(d *desired.State) { d.Labels = set })
	if ok && !gocmp.Equal(set, m.labels) {
		m.labels = set
		m.schedule = m.schedule.Wake(r.UpdatedAt.Time, fleet.Requested)
	}
	w.check("new labels", m)
}

func (w *world) pause() {
	m := w.any()
	paused := w.r.IntN(2) == 0
	r, ok := w.patch(m, func(d *desired.State) { d.Paused = paused })
	switch {
	case !ok || paused == m.paused:
	case paused:
		m.paused, m.schedule = true, m.schedule.Park()
	default:
		m.paused, m.schedule = false, m.schedule.Resume(r.UpdatedAt.Time, fleet.Requested)
	}
	w.check("a pause", m)
}

func (w *world) reconcile() {
	m := w.any()
	var named []string
	if w.r.IntN(2) == 0 {
		named = []string{pickOne(w.r, m.required)}
	}
	_, err := w.s.Reconcile(w.t.Context(), w.kind, all, m.id, named)
	if m.paused {
		wantCode(w.t, err, fleet.Conflict)
		w.check("a refused request", m)
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	anyFailed := false
	for _, r := range m.reports {
		anyFailed = anyFailed || r.phase == failed
	}
	var at time.Time
	if err := w.s.db.DB.GetContext(w.t.Context(), &at, `SELECT touched_at FROM `+tablesOf(w.t, w.kind).Resources+` WHERE id = $1`, m.id); err != nil {
		w.t.Fatal(err)
	}
	taken := false
	for adapter, r := range m.reports {
		if len(named) > 0 && !slices.Contains(named, adapter) || !r.phase.Final() || len(named) == 0 && anyFailed && r.phase != failed {
			continue
		}
		m.reports[adapter], taken = said{pending, r.attempt, r.attempt}, true
	}
	if taken {
		m.schedule = m.schedule.Reported(m.ready(), at.UTC())
	}
	m.schedule = m.schedule.Wake(at.UTC(), fleet.Requested)
	w.check("a request", m)
}
