package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
)

// errFull ends a poll because too many publications wait to be recorded.
var errFull = errors.New("too many publications are not recorded by the API: nothing is published until some are")

// poll is one look at what is due, and the publishing of it.
type poll struct {
	*Shard
	ctx, publishing context.Context
	budget          int           // events that may still be published
	slots           chan struct{} // one per event in flight
	idle            chan due      // to a goroutine that has published before: its stack has grown
	flying          sync.WaitGroup

	complete  bool         // everything that is due was seen
	crowded   bool         // it ended because the memory was full
	found     atomic.Int64 // due items whose event was not out yet
	confirmed atomic.Int64 // of those, the ones whose event is out now
	lost      broken       // what the broker does with the events
}

// left is how many due items were found whose event still waits.
func (p *poll) left() int64 { return p.found.Load() - p.confirmed.Load() }

// run ends when everything due was seen, the budget or its time is used up, or
// something is broken; events in flight have ended by then.
func (p *poll) run() error {
	p.memory.beginPoll(time.Now())
	err := p.walk()
	close(p.idle)
	p.flying.Wait()
	if errors.Is(err, errFull) && !p.Metrics.unrecordable.Load() {
		p.crowded, err = true, nil // the recording is only behind
	}
	if err == nil {
		err = p.lost.atEnd()
	}
	p.complete = p.complete && err == nil
	if p.complete {
		p.memory.endOfWalk(time.Now())
	}
	p.state.note(func(st *state) { st.sinceDivided += p.confirmed.Load() })
	if left := p.left(); err == nil || left > 0 {
		left = p.pending(left)
		p.Metrics.pending.Set(float64(left))
		p.state.note(func(st *state) { st.status.Pending = left })
	}
	return err
}

// pending is what waits: exactly that after a poll that saw everything, else
// also what the API counted when it divided the fleet, less what went out since.
func (p *poll) pending(left int64) int64 {
	if p.complete {
		return left
	}
	p.state.note(func(st *state) { left = max(left, st.status.Division.Pending-st.sinceDivided) })
	return left
}

// walk takes the woken and the expired side by side, and shares the budget. It
// ends after about a poll interval, so that what is woken meanwhile gets its turn.
func (p *poll) walk() error {
	ctx, done := context.WithCancel(p.ctx)
	defer done() // with what was asked for ahead
	woken, expired := &stream{which: "woken"}, &stream{which: "expired"}
	for end := time.Now().Add(max(p.PollInterval, minWalk)); p.budget > 0 && time.Now().Before(end); {
		for _, s := range []*stream{woken, expired} {
			if err := p.fill(ctx, s); err != nil {
				return err
			}
		}
		p.memory.forget(oldest(time.Now(), woken, expired))
		if len(woken.items)+len(expired.items) == 0 {
			p.complete = true
			return nil
		}
		w, e := decide.Divide(p.budget, len(woken.items), len(expired.items), p.expiredFirst)
		p.expiredFirst = !p.expiredFirst
		p.budget -= w + e
		for w+e > 0 {
			from := woken
			if w == 0 || e > w {
				from = expired
				e--
			} else {
				w--
			}
			item := from.items[0]
			from.items = from.items[1:]
			if err := p.start(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// start publishes one event in the background, as soon as the event budget and
// the events in flight allow it.
func (p *poll) start(d due) error {
	if err := p.limiter.Wait(p.ctx); err != nil {
		return fmt.Errorf("wait for the event budget: %w", err)
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	if err := p.lost.err(); err != nil {
		<-p.slots
		return err
	}
	// Again: it may have been in both streams, or recorded since.
	out, err := p.memory.begin(d.DueItem, func(last *decide.Publication) bool {
		return p.judge(d.DueItem, 0, last).Action == decide.Publish
	})
	if err != nil || !out {
		<-p.slots
		if err == nil {
			p.found.Add(-1)
		}
		return err
	}
	select {
	case p.idle <- d:
	default:
		p.flying.Go(func() { p.publishAll(d) })
	}
	return nil
}

// publishAll publishes d, and then what else it is given until the walk ends.
func (p *poll) publishAll(d due) {
	for more := true; more; d, more = <-p.idle {
		p.publish(d)
		<-p.slots
	}
}
