package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
)

const (
	lease        = 10 * time.Second // renewed while an event is held; after a crash it comes again that much later
	windowFactor = 4                // events held for each handler
	heldBytes    = 64 << 20
	lastActs     = 2 * time.Second // to settle at the broker what ended with the subscriber
	surveyEvery  = 30 * time.Second
)

type subscriber struct {
	driver   *driver
	plan     plan
	limits   broker.Limits
	log      *slog.Logger
	failures *failures
	state    state
	notices  *notices

	surveyed atomic.Bool // what the plan needs was there

	mu    sync.Mutex
	check func(context.Context) error // of the session, if there is one
}

func newSubscriber(d *driver, p plan, l broker.Limits) *subscriber {
	return &subscriber{
		driver: d, plan: p, limits: l,
		log:      d.log.With("subscription", p.name),
		failures: newFailures(),
		state:    d.newState("subscriber", p.name),
		notices:  &notices{log: d.log},
	}
}

// Receive works for as long as ctx lets it: whatever is wrong with the broker,
// or with the way to it, is told and tried again.
func (s *subscriber) Receive(ctx context.Context, h broker.Handler) error {
	s.state.Start()
	defer s.state.Stop()
	for pause := waits(); ctx.Err() == nil; {
		if s.work(ctx, h) {
			pause = waits()
		}
		d, _ := pause.Next() // it has no end
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return nil
}

// work receives until something is wrong, and tells it. It says whether the
// broker was reached.
func (s *subscriber) work(ctx context.Context, h broker.Handler) (worked bool) {
	worked, err := s.session(ctx, h)
	if ctx.Err() == nil {
		s.surveyed.Store(false)
		s.state.saw(ctx, err)
	}
	return worked
}

// Check asks Pub/Sub for what the subscriber needs.
func (s *subscriber) Check(ctx context.Context) error {
	s.mu.Lock()
	check := s.check
	s.mu.Unlock()
	if check != nil {
		return check(ctx)
	}
	if problem := s.state.Problem(); problem != nil {
		return problem
	}
	return fmt.Errorf("subscription %s: nobody receives yet", s.plan.name)
}

// session receives over one client, until ctx ends or the client can no more.
// It says whether the broker was reached.
func (s *subscriber) session(ctx context.Context, h broker.Handler) (worked bool, err error) {
	c, err := s.driver.dial(ctx, s.plan.project)
	if err != nil {
		return false, err
	}
	// Closing the client ends whatever may still wait for the broker.
	defer func() { _ = c.Close() }()
	survey := func(ctx context.Context, create bool) error {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		err := s.plan.survey(call, c, create, s.notices)
		s.state.saw(ctx, err)
		return explain(err)
	}
	if !s.surveyed.Load() {
		if err := survey(ctx, s.driver.create); err != nil {
			return false, err
		}
		s.surveyed.Store(true)
	}
	s.setCheck(func(ctx context.Context) error { return survey(ctx, false) })
	defer s.setCheck(nil)

	run, stop := context.WithCancel(ctx)
	defer stop()
	last, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var (
		queue = dispatch.NewQueue()
		ended = make(chan error, 1)
		acts  = &acts{client: c, stopped: make(chan struct{}), context: last}
	)
	go func() {
		defer stop()
		ended <- s.client(c).Receive(run, func(_ context.Context, m *pubsub.Message) { s.keep(acts, queue, m) })
	}()
	go func() { // ends with run
		for tick := time.NewTicker(surveyEvery); ; {
			select {
			case <-tick.C:
				_ = survey(run, false) // the state has it
			case <-run.Done():
				tick.Stop()
				return
			}
		}
	}()
	dispatch.Run(run, queue, h, dispatch.Config{Concurrency: s.limits.Concurrency, Log: s.log})
	close(acts.stopped)
	late := time.AfterFunc(lastActs, func() { end(); _ = c.Close() })
	defer late.Stop()
	return true, <-ended
}

func (s *subscriber) setCheck(check func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check = check
}

// client returns the client library's side of the subscription. It renews the
// leases of all that is held, for as long as Pub/Sub keeps events at all: what
// a pause holds must not be delivered again.
func (s *subscriber) client(c *pubsub.Client) *pubsub.Subscriber {
	r := c.Subscriber(s.plan.subscription)
	r.ReceiveSettings.MaxOutstandingMessages = windowFactor * s.limits.Concurrency
	r.ReceiveSettings.MaxOutstandingBytes = heldBytes
	r.ReceiveSettings.MaxExtension = retention
	r.ReceiveSettings.MaxDurationPerAckExtension = lease
	return r
}
