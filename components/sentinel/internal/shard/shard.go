package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

const (
	pageLimit      = 1000             // due items of one page
	minPage        = 50               // of one page when the event budget is smaller still
	minWalk        = time.Second      // that a poll may take at least
	maxOutstanding = 256              // events published at once
	publishTimeout = 10 * time.Second // of one attempt: an outage must be counted, not only waited for
	publishGrace   = 5 * time.Second  // for events in flight after Run was told to stop
	stopGrace      = 8 * time.Second  // for everything after Run was told to stop
	maxAsk         = time.Minute      // bound of what an API may ask to wait
)

// API is what a shard asks of HyperFleet's API.
type API interface {
	Due(ctx context.Context, typ fleet.ResourceType, o client.DueOptions) (fleet.DueList, error)
	Published(ctx context.Context, typ fleet.ResourceType, p fleet.Published) error
}

// Config is one shard.
type Config struct {
	Name               string // of its SentinelConfig
	Holder             string // who this process is to others that run the same SentinelConfig
	Type               fleet.ResourceType
	Selector           string // Kubernetes label selector; "" = everything
	Backoff            fleet.Backoff
	PollInterval       time.Duration
	MaxEventsPerSecond int // 0 = no bound
}

// Deps are what a shard works with.
type Deps struct {
	API       API
	Registrar Registrar
	Publisher broker.Publisher
	Metrics   *Metrics // of this shard
	Log       *slog.Logger
}

// Shard polls, publishes and records for one SentinelConfig.
type Shard struct {
	Config
	Deps
	memory  *memory
	limiter *rate.Limiter
	state   *state

	expiredFirst bool         // whose turn the odd event of a budget is
	answered     atomic.Int64 // when the API last answered, Unix nanoseconds; 0 = never
	failing      string       // what the last poll failed of; "" if it did not
}

// New returns a shard that does nothing until Run.
func New(c Config, d Deps) *Shard {
	s := &Shard{Config: c, Deps: d, memory: newMemory(c.Backoff, maxRemembered), limiter: rate.NewLimiter(rate.Inf, 1), state: newState()}
	if n := c.MaxEventsPerSecond; n > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(n), max(1, n/20))
	}
	s.Log = d.Log.With("shard", c.Name)
	return s
}

// Run polls until ctx ends, then finishes and records what is in flight. It
// returns within stopGrace of ctx's end, and always nil.
func (s *Shard) Run(ctx context.Context) error {
	s.Metrics.started(time.Now())
	publishing, stopPublishing := outlive(ctx, publishGrace)
	defer stopPublishing()
	last, stopLast := outlive(ctx, stopGrace)
	defer stopLast()
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		s.record(ctx, last)
	}()
	registered := make(chan struct{})
	go func() {
		defer close(registered)
		s.register(ctx, last)
	}()
	covered := make(chan struct{})
	go func() {
		defer close(covered)
		s.cover(ctx)
	}()
	for ctx.Err() == nil {
		wait := s.pollOnce(ctx, publishing)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	<-recorded
	if err := s.flush(last, last); err != nil {
		s.Log.Warn("publications were not recorded; they will be published once more", "err", err)
	}
	<-registered
	<-covered
	s.release(last)
	return nil
}

// outlive returns a context that ends d after ctx does.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(d):
			end()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); end() }
}

// Ready says whether the API has answered this shard lately.
func (s *Shard) Ready(context.Context) error {
	nanos := s.answered.Load()
	if nanos == 0 {
		return errors.New("the API has not answered yet")
	}
	if silent, most := time.Since(time.Unix(0, nanos)), max(15*time.Second, 3*s.PollInterval); silent > most {
		return fmt.Errorf("the API has not answered for %s", silent.Round(time.Second))
	}
	return nil
}

// pollOnce polls and returns how long to wait before the next poll.
func (s *Shard) pollOnce(ctx, publishing context.Context) time.Duration {
	began := time.Now()
	p := &poll{Shard: s, ctx: ctx, publishing: publishing, budget: s.budget(), slots: make(chan struct{}, maxOutstanding), idle: make(chan due)}
	err := p.run()
	if ctx.Err() != nil {
		return 0
	}
	ended := time.Now()
	s.Metrics.polled(began, ended, err, p.complete && p.left() == 0)
	s.state.note(func(st *state) {
		if err == nil {
			st.status.LastPoll = ended
		}
		if broken := p.lost.atEnd(); broken != nil || p.confirmed.Load() > 0 {
			st.status.Broker = broken
		}
	})
	s.tell(err)
	switch {
	case err == nil && p.crowded:
		return recordEvery
	case err == nil && !p.complete:
		return 0
	}
	return s.wait(err)
}

// tell logs when polls begin to fail, fail otherwise, or succeed again.
func (s *Shard) tell(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == s.failing:
	case err != nil:
		s.Log.Warn("poll failed; what is due waits", "err", err)
	default:
		s.Log.Info("polls succeed again")
	}
	s.failing = now
}

// wait is the poll interval give or take a tenth, so that shards do not ask in
// step, and longer if the API asked for it.
func (s *Shard) wait(err error) time.Duration {
	d := time.Duration(float64(s.PollInterval) * (0.9 + 0.2*rand.Float64()))
	var problem *fleet.Error
	if errors.As(err, &problem) {
		d = max(d, min(problem.RetryAfter, maxAsk))
	}
	return d
}

// budget is how many events one poll may publish: those of about one poll
// interval, so that what is woken meanwhile gets its turn soon.
func (s *Shard) budget() int {
	if s.MaxEventsPerSecond == 0 {
		return math.MaxInt
	}
	return max(1, int(float64(s.MaxEventsPerSecond)*s.PollInterval.Seconds()))
}

// judge asks decide about an item that the API says is due.
func (s *Shard) judge(item fleet.DueItem, failures int, last *decide.Publication) decide.Verdict {
	return decide.Judge(decide.Input{Item: item, Last: last, Failures: failures, Backoff: s.Backoff, Now: time.Now()})
}
