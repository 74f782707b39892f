package engine

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/broker"
)

const (
	checkTimeout = time.Second      // of the question whether the broker can be worked with
	tryAgain     = 15 * time.Second // after a publisher could not be made
)

// unit is one shard: what it is to run, and what runs.
type unit struct {
	engine *Engine
	name   string
	log    *slog.Logger
	stop   context.CancelFunc // set when it is started
	done   chan struct{}      // closed when it has ended

	mu      sync.Mutex
	want    *wanted       // nil = nothing valid is known
	changed chan struct{} // closed when want changes
	state   state
}

// state is what a unit does at the moment.
type state struct {
	started, leading bool
	problem          error // why the shard cannot begin
	runs             *wanted
	shard            *shard.Shard
	checker          broker.Checker // of its publisher; nil = it has none
}

// set makes w what the unit runs, unless that is the same.
func (u *unit) set(w *wanted) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.want != nil && reflect.DeepEqual(u.want.config.Spec, w.config.Spec) {
		return
	}
	u.want = w
	close(u.changed)
	u.changed = make(chan struct{})
}

// current returns what to run, and a channel that is closed when that changes.
func (u *unit) current() (*wanted, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.want, u.changed
}

// note changes the state, and tells of it.
func (u *unit) note(change func(*state)) {
	u.mu.Lock()
	change(&u.state)
	u.mu.Unlock()
	u.engine.deps.Changed(u.name)
}

// run holds the shard until ctx ends.
func (u *unit) run(ctx context.Context) error {
	u.note(func(s *state) { s.started = true })
	return u.engine.deps.Owner.Hold(ctx, u.name, func(ctx context.Context, leads func() bool) error {
		u.note(func(s *state) { s.leading = true })
		defer u.note(func(s *state) { *s = state{started: true} })
		defer u.engine.deps.Leave(ctx, u.name)
		return u.lead(ctx, leads)
	})
}

// lead runs the shard, each time as it is wanted then, until ctx ends.
func (u *unit) lead(ctx context.Context, leads func() bool) error {
	k := kit{deps: &u.engine.deps, collectors: u.engine.metrics, log: u.log}
	defer k.drop(ctx)
	for ctx.Err() == nil {
		w, changed := u.current()
		if w == nil {
			wait(ctx, changed, nil)
			continue
		}
		if err := k.fit(ctx, w); err != nil {
			if _, alone := u.engine.deps.Owner.(Alone); alone {
				return err // nobody corrects it while the process runs
			}
			u.note(func(s *state) { *s = state{started: true, leading: true, problem: err} })
			wait(ctx, changed, time.After(tryAgain))
			continue
		}
		running := shard.New(w.shard, shard.Deps{API: w.api, Registrar: w.api, Publisher: fenced{k.publisher, leads}, Metrics: k.metrics, Log: u.engine.deps.Log})
		checker, _ := k.publisher.(broker.Checker)
		u.note(func(s *state) { s.problem, s.runs, s.shard, s.checker = nil, w, running, checker })
		u.log.Info("shard starts", "selector", w.shard.Selector, "resource_type", w.shard.Type)
		if err := until(ctx, changed, running.Run); err != nil {
			return err
		}
	}
	return nil
}

// until runs something until changed is closed or ctx ends.
func until(ctx context.Context, changed <-chan struct{}, run func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wait(ctx, changed, nil)
		stop()
	}()
	err := run(ctx)
	stop()
	<-ended
	return err
}

// wait returns when something changed, the time has come or ctx has ended.
func wait(ctx context.Context, changed <-chan struct{}, timer <-chan time.Time) {
	select {
	case <-changed:
	case <-timer:
	case <-ctx.Done():
	}
}

var errNotLeading = errors.New("this replica does not lead the shard any more")

// fenced publishes nothing once the shard may be another replica's.
type fenced struct {
	broker.Publisher
	leads func() bool
}

func (f fenced) Publish(ctx context.Context, e event.Event) error {
	if !f.leads() {
		return errNotLeading
	}
	return f.Publisher.Publish(ctx, e)
}
