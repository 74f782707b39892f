package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Defaults of [Config].
const (
	DefaultGrace      = 7 * time.Second
	DefaultFirstPause = 100 * time.Millisecond
	DefaultMaxPause   = 30 * time.Second
)

// Config shapes a Run. Zero durations take the defaults.
type Config struct {
	Concurrency int           // handlers at once; at least 1
	Grace       time.Duration // from the end of Run's context to the end of the handlers' context
	FirstPause  time.Duration // delay after the first paused delivery; it doubles from one to the next
	MaxPause    time.Duration // bound of that delay
	Log         *slog.Logger
}

// Run hands the messages of q to h until ctx ends, then waits for the handlers
// that run. Messages that it did not hand out stay in q.
func Run(ctx context.Context, q *Queue, h broker.Handler, c Config) {
	c = c.defaults()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer q.wake() // a token that was taken but not used belongs to the others
	var (
		finished = make(chan ended, c.Concurrency)
		running  int
		pace     = pacer{first: c.FirstPause, most: c.MaxPause}
	)
	start := func() bool {
		m, done, ok := q.take()
		if !ok {
			return false
		}
		probe := pace.paused
		running++
		go call(work, m.handler(h), m.Delivery, c.Log, func(out broker.Outcome) {
			m.Settle(out)
			done()
			finished <- ended{out, probe}
		})
		return true
	}
	for ctx.Err() == nil {
		wait, open := pace.gate(running, c.Concurrency, time.Now())
		if open && start() {
			continue
		}
		var (
			woken <-chan struct{}
			timer <-chan time.Time
		)
		switch {
		case open:
			woken = q.woken
		case wait > 0:
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-woken:
		case <-timer:
		case e := <-finished:
			running--
			pace.observe(e, time.Now())
		}
	}
	late := time.AfterFunc(c.Grace, stop)
	defer late.Stop()
	for ; running > 0; running-- {
		<-finished
	}
}

// handler is who handles m.
func (m Message) handler(h broker.Handler) broker.Handler {
	if m.Malformed == nil {
		return h
	}
	return func(context.Context, broker.Delivery) broker.Outcome { return broker.Reject(m.Malformed.Error()) }
}

func (c Config) defaults() Config {
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.FirstPause == 0 {
		c.FirstPause = DefaultFirstPause
	}
	if c.MaxPause == 0 {
		c.MaxPause = DefaultMaxPause
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// ended is how a handler's call ended, and whether it began during a pause.
type ended struct {
	outcome broker.Outcome
	probe   bool
}

// call calls h and hands its outcome to end. A handler that panics, or ends its
// goroutine, retries at once like one whose process crashed.
func call(ctx context.Context, h broker.Handler, d broker.Delivery, log *slog.Logger, end func(broker.Outcome)) {
	out := broker.Outcome{Kind: broker.Retried, Reason: "the handler ended its goroutine"}
	defer func() { end(out) }()
	defer func() {
		if p := recover(); p != nil {
			out.Reason = fmt.Sprintf("the handler panicked: %.500v", p)
			log.Error("handler panicked", "cluster", d.Event.Subject(), "event", d.Event.ID(),
				"err", out.Reason, "stack", string(debug.Stack()))
		}
	}()
	out = h(ctx, d)
}
