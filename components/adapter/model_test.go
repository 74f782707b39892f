package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/dir"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/handle"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/precondition"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

const (
	modelClusters = 4
	modelLimit    = 2 // attempts after the first
)

// TestAnyInterleavingMakesOneJobPerAttempt throws duplicate, late and
// concurrent events, outages, lost answers, reports that arrive late, crashes
// and spec changes at two adapters; then it lets the storm end and compares
// every cluster with what its Jobs' outcomes say it must have become.
func TestAnyInterleavingMakesOneJobPerAttempt(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	for round := range fleettest.Rounds(t) {
		root := t.TempDir()
		t.Run(fmt.Sprintf("SEED=%d", seed+uint64(round)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newModel(t, root, seed+uint64(round)).play() })
		})
	}
}

// model is the world around the adapters: what survives a crash.
type model struct {
	t        *testing.T
	root     string
	seed     uint64
	api      *fakeAPI
	calm     atomic.Bool // no faults any more
	mu       sync.Mutex
	rand     *rand.Rand
	late     []func()       // reports that the network holds back
	created  map[string]int // Job -> times that Ensure said it created it
	adapters []*modelAdapter
}

// modelAdapter is one adapter, and its process while it has one.
type modelAdapter struct {
	*model
	cfg     v1alpha1.AdapterConfig
	mu      sync.Mutex
	handler *handle.Handler
	crash   func() // ends the process; what it is doing reaches nobody any more
	gone    <-chan struct{}
	inside  sync.WaitGroup // handlers that run
}

func newModel(t *testing.T, root string, seed uint64) *model {
	m := &model{t: t, root: root, seed: seed, api: newFakeAPI("validation", "dns"), rand: rand.New(rand.NewPCG(seed, 1)), created: map[string]int{}}
	for n := range modelClusters {
		m.api.create(clusterID(n))
	}
	for name, dependencies := range map[string][]string{"validation": nil, "dns": {"validation"}} {
		m.adapters = append(m.adapters, &modelAdapter{model: m, cfg: v1alpha1.AdapterConfig{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-adapter"},
			Spec: v1alpha1.AdapterConfigSpec{
				AdapterType: name,
				Criteria:    v1alpha1.Criteria{Dependencies: dependencies},
				Retry:       v1alpha1.Retry{Limit: new(int32(modelLimit)), Backoff: &metav1.Duration{Duration: 2 * time.Second}},
				JobTemplate: v1alpha1.JobTemplate{Image: "x"}, HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://localhost:8080"},
			},
		}.Defaults()})
	}
	return m
}

// chance is true in one of n cases, never once it is calm.
func (m *model) chance(n int) bool { return !m.calm.Load() && m.draw(n) == 0 }

func (m *model) draw(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(n)
}

// fails says whether an attempt fails: a property of the attempt, so that it is
// the same however often its Job is run.
func (m *model) fails(i jobspec.Identity) bool {
	h := fnv.New64a()
	fmt.Fprint(h, m.seed, i.Adapter, i.ResourceID, i.Generation, i.Attempt)
	return h.Sum64()%5 < 2
}

func (m *model) play() {
	for _, a := range m.adapters {
		a.start()
	}
	for range 200 {
		m.disturb()
		time.Sleep(time.Duration(m.draw(800)) * time.Millisecond)
	}
	m.calm.Store(true)
	for deadline := time.Now().Add(10 * time.Minute); !m.settled(); {
		if time.Now().After(deadline) {
			m.t.Fatal("not every cluster came to an end")
		}
		for _, a := range m.adapters {
			for n := range modelClusters {
				a.deliver(clusterID(n), time.Now())
			}
		}
		time.Sleep(time.Second)
	}
	time.Sleep(time.Minute) // what is still under way
	for _, a := range m.adapters {
		a.stop()
	}
	m.judge()
}

// disturb does one of the things that happen in a fleet.
func (m *model) disturb() {
	a := m.adapters[m.draw(len(m.adapters))]
	id := clusterID(m.draw(modelClusters))
	switch m.draw(24) {
	case 0:
		a.stop()
		if m.draw(2) == 0 { // it died while it made a Job
			if _, err := os.MkdirTemp(m.root, ".new-"+a.cfg.Spec.AdapterType+"_"); err != nil {
				m.t.Error(err)
			}
		}
		a.start()
	case 1:
		m.mu.Lock()
		late := m.late
		m.late = nil
		m.mu.Unlock()
		for _, arrive := range late {
			arrive()
		}
	case 2:
		if r, _ := m.api.Get(context.Background(), fleet.Clusters, id); r.Generation < 3 {
			m.api.change(id)
		}
	case 3, 4, 5: // late: its time is long past
		a.deliver(id, time.Now().Add(-time.Duration(m.draw(60))*time.Second))
	case 6, 7, 8: // twice at once
		a.deliver(id, time.Now())
		a.deliver(id, time.Now())
	default:
		a.deliver(id, time.Now())
	}
}

// start begins a process of the adapter over the same directory.
func (a *modelAdapter) start() {
	chain, err := precondition.Compile(a.cfg.Spec.Criteria.Dependencies, []string{"cluster"}, []string{"cluster.status.phase != 'Ready'"}, strconv.Itoa)
	if err != nil {
		a.t.Fatal(err)
	}
	p := &modelProcess{model: a.model, runner: dir.New(a.root, a.exec, quiet)}
	metrics, err := handle.NewMetrics(prometheus.NewRegistry(), "x", func() int { return 0 })
	if err != nil {
		a.t.Fatal(err)
	}
	h := handle.New(a.cfg, chain, p, p, metrics, quiet)
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if err := p.runner.Run(ctx, a.cfg.Spec.AdapterType, h); err != nil {
			a.t.Error(err)
		}
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handler, a.gone = h, gone
	a.crash = func() { p.dead.Store(true); cancel() }
	p.crash = a.crash
}

func (a *modelAdapter) stop() {
	a.mu.Lock()
	crash, gone := a.crash, a.gone
	a.handler = nil
	a.mu.Unlock()
	crash()
	<-gone
	a.inside.Wait()
}

var quiet = slog.New(slog.DiscardHandler)

// exec is what every Job does: it takes its time, and succeeds or fails.
func (a *modelAdapter) exec(ctx context.Context, j dir.Job) (dir.Result, error) {
	if _, err := os.Stat(filepath.Join(j.Dir, "result.json")); err == nil {
		a.t.Errorf("%s runs although it has a result", j.Name)
	}
	select {
	case <-time.After(time.Duration(a.draw(4000)) * time.Millisecond):
	case <-ctx.Done():
		return dir.Result{}, ctx.Err()
	}
	if a.fails(jobspec.Identity{Adapter: j.Adapter, ResourceID: j.ClusterID, Generation: j.Generation, Attempt: j.Attempt}) {
		return dir.Result{}, errors.New("as it was meant to")
	}
	return dir.Result{Message: "done"}, nil
}

// deliver hands the adapter an event, as a broker does: again until it is settled.
func (a *modelAdapter) deliver(id string, at time.Time) {
	e, err := reconcile.Event("sentinel-operator/test", fleet.ReconcileEvent{
		ResourceType: fleet.Clusters, ResourceID: id, Reason: fleet.BackoffExpired, Generation: 1,
	}, fleet.At(at))
	if err != nil {
		a.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.handler
	if h == nil {
		return
	}
	a.inside.Go(func() {
		for range 3 {
			out := h.Handle(context.Background(), broker.Delivery{Event: e, Attempt: 1})
			if out.Kind == broker.Acked {
				return
			}
			if out.Kind == broker.Rejected {
				a.t.Errorf("rejected: %s", out.Reason)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// modelProcess is what stands between one process and the world: a network and
// a machine that fail.
type modelProcess struct {
	*model
	runner *dir.Runner
	dead   atomic.Bool
	crash  func()
}

func (p *modelProcess) unreachable() error {
	if p.dead.Load() || p.chance(8) {
		return fleet.Errorf(fleet.Unavailable, "the API is away")
	}
	return nil
}

func (p *modelProcess) Get(ctx context.Context, typ fleet.ResourceType, id string) (fleet.Resource, error) {
	if err := p.unreachable(); err != nil {
		return fleet.Resource{}, err
	}
	r, err := p.api.Get(ctx, typ, id)
	if p.chance(4) {
		time.Sleep(time.Duration(p.draw(3000)) * time.Millisecond) // what it says gets old
	}
	return r, err
}

func (p *modelProcess) Report(ctx context.Context, typ fleet.ResourceType, id string, n fleet.NewReport) (fleet.Report, error) {
	if err := p.unreachable(); err != nil {
		return fleet.Report{}, err
	}
	stored, err := p.api.Report(ctx, typ, id, n)
	if p.chance(12) { // the same once more, much later
		p.model.mu.Lock()
		p.late = append(p.late, func() { _, _ = p.api.Report(context.Background(), typ, id, n) })
		p.model.mu.Unlock()
	}
	switch {
	case p.chance(10): // the answer is lost
		return fleet.Report{}, fleet.Errorf(fleet.Unavailable, "no answer")
	case p.chance(25): // the process ends right after the report was stored
		p.crash()
		return fleet.Report{}, fleet.Errorf(fleet.Unavailable, "no answer")
	}
	return stored, err
}

func (p *modelProcess) Adapters(context.Context) ([]fleet.Adapter, error) {
	return nil, p.unreachable()
}

func (p *modelProcess) Ensure(ctx context.Context, j jobspec.Job) (bool, error) {
	if p.dead.Load() || p.chance(10) {
		return false, errors.New("the disk is full")
	}
	created, err := p.runner.Ensure(ctx, j)
	if created {
		p.model.mu.Lock()
		p.model.created[j.Name]++
		p.model.mu.Unlock()
	}
	return created, err
}

func (p *modelProcess) Cancel(ctx context.Context, adapter string, s jobspec.Subject) (bool, error) {
	return p.runner.Cancel(ctx, adapter, s)
}
