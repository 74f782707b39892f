package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Deps are what an engine works with. Transport and Changed may be nil.
type Deps struct {
	Log       *slog.Logger
	Registry  prometheus.Registerer
	Health    *service.Health
	Transport http.RoundTripper // to the API
	Holder    string            // who this process is to others that run the same configs
	Owner     Owner
	// Publisher makes the publisher of one config, whose broker is set.
	Publisher func(ctx context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error)
	// Changed is told the name of a shard that began, stopped or cannot begin. It
	// must not wait.
	Changed func(name string)
	// Leave is called before a shard is given up, while nobody else runs it yet.
	Leave func(ctx context.Context, name string)
}

// Engine runs one shard for each config. It is safe for concurrent use.
type Engine struct {
	deps    Deps
	metrics *shard.Collectors

	mu      sync.Mutex
	units   map[string]*unit
	ending  map[string]*unit // removed, and perhaps still at work
	running context.Context  // of Run; nil before
	closed  bool             // Run has ended
	group   sync.WaitGroup
	failed  chan error // a shard ended by itself
}

// New returns an engine that runs nothing until Run.
func New(d Deps) (*Engine, error) {
	metrics, err := shard.NewCollectors(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register the sentinel's metrics: %w", err)
	}
	if d.Changed == nil {
		d.Changed = func(string) {}
	}
	if d.Leave == nil {
		d.Leave = func(context.Context, string) {}
	}
	return &Engine{deps: d, metrics: metrics, units: map[string]*unit{}, ending: map[string]*unit{}, failed: make(chan error, 1)}, nil
}

// Run runs what Set says until ctx ends, and lets each shard finish. It returns
// within ten seconds of ctx's end; nil then, else why a shard ended by itself.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e.mu.Lock()
	e.running = ctx
	for _, u := range e.units {
		e.start(u)
	}
	e.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-e.failed:
		stop()
	}
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.group.Wait()
	return err
}

// Set makes c, which is valid and complete, what its shard runs. An error means
// that it cannot run, and nothing has changed.
func (e *Engine) Set(c v1alpha1.SentinelConfig) error {
	w, err := newWanted(c, e.deps.Transport, e.deps.Holder)
	if err != nil {
		return err
	}
	e.unit(c.Name).set(w)
	return nil
}

// Claim has this replica claim a shard whose config is not valid: what ran
// before goes on, and somebody is there to say what is wrong.
func (e *Engine) Claim(name string) { e.unit(name) }

// Remove stops a shard and gives it up. It does not wait.
func (e *Engine) Remove(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	u := e.units[name]
	if u == nil {
		return
	}
	delete(e.units, name)
	e.deps.Health.Remove("shard " + name)
	e.deps.Health.Remove("broker of shard " + name)
	if u.stop != nil {
		e.ending[name] = u
		u.stop()
	}
}

// unit returns the unit of a name, which is made and started if there is none.
func (e *Engine) unit(name string) *unit {
	e.mu.Lock()
	defer e.mu.Unlock()
	if u := e.units[name]; u != nil {
		return u
	}
	u := &unit{engine: e, name: name, log: e.deps.Log.With("shard", name), changed: make(chan struct{}), done: make(chan struct{})}
	e.units[name] = u
	e.deps.Health.Add("shard "+name, u.ready)
	e.deps.Health.Add("broker of shard "+name, u.broker)
	if e.running != nil && !e.closed {
		e.start(u)
	}
	return u
}

// start runs u, once what ran under its name has ended. The lock is held.
func (e *Engine) start(u *unit) {
	ctx, stop := context.WithCancel(e.running)
	before := e.ending[u.name]
	u.stop = stop
	e.group.Go(func() {
		defer close(u.done)
		defer stop()
		if before != nil {
			<-before.done
		}
		err := u.run(ctx)
		e.mu.Lock()
		if e.ending[u.name] == u {
			delete(e.ending, u.name)
		}
		e.mu.Unlock()
		if err != nil {
			select {
			case e.failed <- fmt.Errorf("shard %s: %w", u.name, err):
			default: // one reason is enough
			}
		}
	})
}

// Status returns how a shard is doing here; ok says whether it is wanted.
func (e *Engine) Status(ctx context.Context, name string) (s Status, ok bool) {
	e.mu.Lock()
	u := e.units[name]
	e.mu.Unlock()
	if u == nil {
		return Status{}, false
	}
	return u.status(ctx), true
}
