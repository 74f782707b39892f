package shard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// model is the API, in memory and on fleet.Schedule.
type model struct {
	mu        sync.Mutex
	rows      map[string]*row
	asked     []client.DueOptions
	lastAsked time.Time
	batches   [][]string
	active    map[string]int // calls to Due that have not returned, by which half they ask for
	overlaps  int
	latency   time.Duration
	// onDue and onPublished may refuse a call; lost says that the work is done
	// but the answer does not arrive.
	onDue       func() error
	onPublished func(tokens []string) (err error, lost bool)
	shard       fleet.NewShard // as it is registered; without a holder if it is not
	holds       int            // how often it was asked to register
	onHold      func() error
	onCoverage  func() (fleet.Coverage, error)
}

type row struct {
	id         string
	generation int64
	phase      fleet.Phase
	heard      time.Time
	sched      fleet.Schedule
}

func newModel() *model { return &model{rows: map[string]*row{}, active: map[string]int{}} }

func id(i int) string { return fmt.Sprintf("01900000-0000-7000-8000-%012x", i) }

// created adds n resources that were created just now.
func (m *model) created(n int) *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		r := &row{id: id(len(m.rows)), generation: 1, phase: fleet.Pending, heard: time.Now()}
		r.sched = fleet.Schedule{Base: r.heard}.Wake(time.Now(), fleet.GenerationChanged)
		m.rows[r.id] = r
	}
	return m
}

// silent adds n resources whose backoff is long expired.
func (m *model) silent(n int) *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		r := &row{id: id(len(m.rows)), generation: 1, phase: fleet.Pending, heard: time.Now().Add(-time.Hour)}
		r.sched.Base = r.heard
		m.rows[r.id] = r
	}
	return m
}

// wake says whether an earlier wake-up stays in the place of this one.
func (m *model) wake(id string, at time.Time, why fleet.Reason) (merged bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	r.sched = r.sched.Wake(at, why)
	return r.sched.WakeAt.Before(at)
}

func (m *model) report(id string, phase fleet.Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	r.heard, r.phase = time.Now(), phase
	r.sched = r.sched.Reported(phase == fleet.Ready, time.Now())
}

func (m *model) set(change func(*model)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *model) Due(ctx context.Context, typ fleet.ResourceType, o client.DueOptions) (fleet.DueList, error) {
	m.mu.Lock()
	m.asked, m.lastAsked = append(m.asked, o), time.Now()
	if m.active[o.Which]++; m.active[o.Which] > 1 {
		m.overlaps++
	}
	latency := m.latency
	m.mu.Unlock()
	time.Sleep(latency / 2)
	list, err := m.answer(o)
	time.Sleep(latency / 2) // an answer is old when it arrives
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active[o.Which]--
	if ctx.Err() != nil {
		return fleet.DueList{}, ctx.Err()
	}
	return list, err
}

func (m *model) answer(o client.DueOptions) (fleet.DueList, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.onDue != nil {
		if err := m.onDue(); err != nil {
			return fleet.DueList{}, err
		}
	}
	return m.page(o), nil
}

func (m *model) page(o client.DueOptions) fleet.DueList {
	type item struct {
		since time.Time
		why   fleet.Reason
		*row
	}
	now := time.Now()
	var afterNanos int64
	var afterID string
	if o.Continue != "" {
		_, _ = fmt.Sscan(o.Continue, &afterNanos, &afterID)
	}
	after := item{since: time.Unix(0, afterNanos), row: &row{id: afterID}}
	order := func(a, b item) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id)) }
	var items []item
	for _, r := range m.rows {
		why, due := r.sched.Due(o.Backoff, now)
		woken := why != fleet.BackoffExpired
		if !due || woken != (o.Which == "woken") {
			continue
		}
		it := item{r.sched.WakeAt, why, r}
		if !woken {
			it.since = r.sched.Base.Add(o.Backoff.For(r.sched.Ready))
		}
		if o.Continue == "" || order(it, after) > 0 {
			items = append(items, it)
		}
	}
	slices.SortFunc(items, order)
	list := fleet.DueList{Kind: "DueList", AsOf: fleet.At(now)}
	for i, r := range items {
		if i == o.Limit {
			list.Continue = fmt.Sprint(items[i-1].since.UnixNano(), " ", items[i-1].id)
			break
		}
		list.Items = append(list.Items, fleet.DueItem{ID: r.id, Generation: r.generation, Phase: r.phase,
			LastTransitionTime: fleet.At(r.heard), Reason: r.why, Token: fmt.Sprintf("%s/%d/%t", r.id, r.sched.Wakes, r.why != fleet.BackoffExpired)})
	}
	return list
}

func (m *model) Published(ctx context.Context, typ fleet.ResourceType, p fleet.Published) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.onPublished != nil {
		if err, lost := m.onPublished(p.Tokens); err != nil && !lost {
			return err
		} else if err != nil {
			m.record(p)
			return err
		}
	}
	m.record(p)
	m.batches = append(m.batches, p.Tokens)
	return nil
}

func (m *model) record(p fleet.Published) {
	notReady, err1 := time.ParseDuration(p.BackoffNotReady)
	ready, err2 := time.ParseDuration(p.BackoffReady)
	if err1 != nil || err2 != nil {
		panic("durations")
	}
	for _, token := range p.Tokens {
		parts := strings.Split(token, "/")
		var wakes int64
		_, _ = fmt.Sscan(parts[1], &wakes)
		if r := m.rows[parts[0]]; r != nil {
			r.sched = r.sched.Published(fleet.Backoff{NotReady: notReady, Ready: ready}, wakes, parts[2] == "true", time.Now())
		}
	}
}

// questions returns what Due was asked so far.
func (m *model) questions() []client.DueOptions {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

// recorded counts the batches that were recorded.
func (m *model) recorded() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.batches)
}

// dueNow counts what the model says is due.
func (m *model) dueNow(b fleet.Backoff) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.due(b)
}

// due counts it for who has the lock.
func (m *model) due(b fleet.Backoff) int {
	n := 0
	for _, r := range m.rows {
		if _, due := r.sched.Due(b, time.Now()); due {
			n++
		}
	}
	return n
}

// sent is one event that the broker took, or refused.
type sent struct {
	fleet.ReconcileEvent
	event event.Event
	at    time.Time
	err   error
}

// press is a publisher that keeps what it gets.
type press struct {
	mu    sync.Mutex
	sent  []sent
	delay time.Duration
	fail  func(fleet.ReconcileEvent) error
	hangs bool
}

func (p *press) Publish(ctx context.Context, e event.Event) error {
	p.mu.Lock()
	delay, hangs := p.delay, p.hangs
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return fmt.Errorf("publish: %w", ctx.Err())
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := reconcile.Decode(e)
	if err != nil {
		panic(err)
	}
	if p.fail != nil {
		err = p.fail(data)
	}
	p.sent = append(p.sent, sent{data, e, time.Now(), err})
	return err
}

func (p *press) Close(context.Context) error { return nil }

func (p *press) set(change func(*press)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// tries returns every attempt, refused ones too.
func (p *press) tries() []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// out returns the events that were confirmed, by resource.
func (p *press) out() map[string][]sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := map[string][]sent{}
	for _, s := range p.sent {
		if s.err == nil {
			m[s.ResourceID] = append(m[s.ResourceID], s)
		}
	}
	return m
}

func (p *press) confirmed() int {
	n := 0
	for _, s := range p.out() {
		n += len(s)
	}
	return n
}

var _ broker.Publisher = (*press)(nil)

// everything is what a shard asks of the API.
type everything interface {
	API
	Registrar
}

func (m *model) HoldShard(ctx context.Context, name string, in fleet.NewShard) (fleet.Shard, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds++
	if ctx.Err() != nil {
		return fleet.Shard{}, ctx.Err()
	}
	if m.onHold != nil {
		if err := m.onHold(); err != nil {
			return fleet.Shard{}, err
		}
	}
	m.shard = in
	return fleet.Shard{Name: name, Holder: in.Holder}, nil
}

func (m *model) ReleaseShard(_ context.Context, _, holder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shard.Holder != holder {
		return fleet.Errorf(fleet.NotFound, "not registered")
	}
	m.shard = fleet.NewShard{}
	return nil
}

// registered returns the registration, and how often it was asked for.
func (m *model) registered() (fleet.NewShard, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shard, m.holds
}

// standard is the shard of most tests.
func standard() Config {
	return Config{Name: "cluster-sentinel-us-east", Holder: "pod-1-abc", Type: fleet.Clusters, Selector: "region=us-east",
		Backoff: fleet.Backoff{NotReady: 10 * time.Second, Ready: 30 * time.Minute}, PollInterval: 5 * time.Second}
}

// running is a shard that runs in a test.
type running struct {
	*Shard
	registry *prometheus.Registry
	stop     func() time.Duration // stops it and says how long that took
}

// start runs a shard until the test ends or stop is called.
func start(t *testing.T, c Config, api everything, p broker.Publisher, change ...func(*Shard)) running {
	t.Helper()
	registry := prometheus.NewRegistry()
	collectors, err := NewCollectors(registry)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := collectors.For(c.Type, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	s := New(c, Deps{API: api, Registrar: api, Publisher: p, Metrics: metrics, Log: slog.New(slog.DiscardHandler)})
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once sync.Once
	var took time.Duration
	stop := func() time.Duration {
		once.Do(func() {
			began := time.Now()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			took = time.Since(began)
			time.Sleep(publishGrace) // its timers end
		})
		return took
	}
	t.Cleanup(func() { stop() })
	return running{s, registry, stop}
}

// value reads one metric.
func (r running) value(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		m := f.GetMetric()[0]
		switch {
		case m.GetGauge() != nil:
			return m.GetGauge().GetValue()
		case m.GetCounter() != nil:
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func (m *model) Coverage(ctx context.Context, typ fleet.ResourceType) (fleet.Coverage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.onCoverage == nil {
		return fleet.Coverage{ResourceType: typ}, ctx.Err()
	}
	return m.onCoverage()
}
