package adapter_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// settled says whether no cluster's adapter has anything left to do. A process
// that crashed meanwhile is started again, as whatever supervises it would.
func (m *model) settled() bool {
	for _, a := range m.adapters {
		a.mu.Lock()
		gone := a.gone
		a.mu.Unlock()
		select {
		case <-gone:
			a.stop()
			a.start()
		default:
		}
	}
	for n := range modelClusters {
		r, _ := m.api.Get(context.Background(), fleet.Clusters, clusterID(n))
		validation, _ := m.final(r, "validation")
		if r.Status.Phase != fleet.Ready && r.Status.Phase != fleet.Failed ||
			validation == fleet.ReportComplete && !m.ended(r, "dns") || !m.ended(r, "validation") {
			return false
		}
	}
	return true
}

func (m *model) ended(r fleet.Resource, adapter string) bool {
	a, ok := r.Status.Adapter(adapter)
	return ok && a.ObservedGeneration == r.Generation && a.Phase.Final()
}

// final is how an adapter must end on the current generation, and after how
// many attempts.
func (m *model) final(r fleet.Resource, adapter string) (fleet.ReportPhase, int) {
	for attempt := 1; attempt <= 1+modelLimit; attempt++ {
		if !m.fails(jobspec.Identity{Adapter: adapter, ResourceID: r.ID, Generation: r.Generation, Attempt: attempt}) {
			return fleet.ReportComplete, attempt
		}
	}
	return fleet.ReportFailed, 1 + modelLimit
}

// judge compares what became of the fleet with what had to become of it.
func (m *model) judge() {
	for n := range modelClusters {
		r, _ := m.api.Get(context.Background(), fleet.Clusters, clusterID(n))
		phase, attempts := m.final(r, "validation")
		m.compare(r, "validation", phase, attempts)
		if phase == fleet.ReportComplete {
			phase, attempts = m.final(r, "dns")
		} else {
			phase, attempts = fleet.ReportPending, 0
		}
		m.compare(r, "dns", phase, attempts)
	}
	for name, times := range m.created {
		if times != 1 {
			m.t.Errorf("%s was created %d times", name, times)
		}
	}
	entries, err := os.ReadDir(m.root)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		if m.created[e.Name()] == 0 {
			m.t.Errorf("%s was made by nobody", e.Name())
		}
		if _, err := os.Stat(filepath.Join(m.root, e.Name(), "reported")); err != nil {
			m.t.Errorf("%s: its end was not stored", e.Name())
		}
	}
}

// compare checks one adapter's status, and that it made exactly the given
// number of attempts, each once, on the current generation.
func (m *model) compare(r fleet.Resource, adapter string, phase fleet.ReportPhase, attempts int) {
	own, _ := r.Status.Adapter(adapter)
	if own.Phase != phase || own.ObservedGeneration != r.Generation || attempts > 0 && own.Attempt != attempts {
		m.t.Errorf("cluster %s: %s is %s with attempt %d of generation %d; want %s, %d, %d\n%s", r.ID, adapter, own.Phase, own.Attempt,
			own.ObservedGeneration, phase, attempts, r.Generation, strings.Join(m.api.history[r.ID], "\n"))
	}
	for attempt := 1; attempt <= 2+modelLimit; attempt++ {
		name, err := (jobspec.Identity{Adapter: adapter, ResourceID: r.ID, Generation: r.Generation, Attempt: attempt}).Name()
		if err != nil {
			m.t.Fatal(err)
		}
		if made := m.created[name] > 0; made != (attempt <= attempts) {
			m.t.Errorf("cluster %s: attempt %d of %s made: %t; it takes %d attempts", r.ID, attempt, adapter, made, attempts)
		}
	}
}
