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
	flying          sync.WaitGroup

	complete  bool         // everything that is due was seen
	counting  bool         // or done with it
	total     int64        // found, together with what was only counted; valid when nothing flies
	crowded   bool         // it ended because the memory was full
	found     atomic.Int64 // due items whose event was not out yet
	confirmed atomic.Int64 // of those, the ones whose event is out now
	lost      broken       // what the broker does with the events
}

// left is how many due items still wait for their event.
func (p *poll) left() int64 { return max(p.found.Load(), p.total) - p.confirmed.Load() }

// run ends when everything due was seen, the budget is used up, or something
// is broken; events in flight have ended by then.
func (p *poll) run() error {
	p.memory.beginPoll()
	err := p.walk()
	p.flying.Wait()
	if errors.Is(err, errFull) && !p.Metrics.unrecordable.Load() {
		p.crowded, err = true, nil // the recording is only behind
	}
	if err == nil {
		err = p.lost.atEnd()
	}
	p.complete = p.complete && err == nil
	if p.complete {
		p.total = 0 // found is exact
		p.memory.endOfWalk(time.Now())
	}
	if left := p.left(); err == nil || left > 0 {
		p.Metrics.pending.Set(float64(left))
		p.state.note(func(st *state) { st.status.Pending = left })
	}
	return err
}

// walk takes the woken and the expired side by side, and shares the budget.
func (p *poll) walk() error {
	woken, expired := &stream{which: "woken"}, &stream{which: "expired"}
	for p.budget > 0 {
		for _, s := range []*stream{woken, expired} {
			if err := p.fill(s); err != nil {
				return err
			}
		}
		if len(woken.items)+len(expired.items) == 0 {
			p.complete = true
			return nil
		}
		p.count(*woken, *expired)
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
	p.flying.Add(1)
	go func() {
		defer func() { <-p.slots; p.flying.Done() }()
		p.publish(d)
	}()
	return nil
}
