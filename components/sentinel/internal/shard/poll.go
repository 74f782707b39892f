package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
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
	crowded   bool         // it ended because the memory was full
	found     atomic.Int64 // due items whose event was not out yet
	confirmed atomic.Int64 // of those, the ones whose event is out now
	lost      broken       // what the broker does with the events
}

// due is a due item and when the database said so.
type due struct {
	fleet.DueItem
	asOf fleet.Time
}

// stream is one half of what is due, page after page.
type stream struct {
	which string
	items []due // of the current page, not yet taken
	next  string
	ended bool
}

// left is how many due items still wait for their event.
func (p *poll) left() int64 { return p.found.Load() - p.confirmed.Load() }

// run ends when everything due was seen, the budget is used up, or something
// is broken; events in flight have ended by then.
func (p *poll) run() error {
	p.memory.beginPoll()
	err := p.walk()
	p.flying.Wait()
	if errors.Is(err, errFull) && !p.unrecordable.Load() {
		p.crowded, err = true, nil // the recording is only behind
	}
	if err == nil {
		err = p.lost.atEnd()
	}
	p.complete = p.complete && err == nil
	if p.complete {
		p.memory.endOfWalk(time.Now())
	}
	if err == nil || p.left() > 0 {
		p.Metrics.pending.Set(float64(p.left()))
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

// fill gives s items to take, unless there are none left. It passes over those
// whose event is out.
func (p *poll) fill(s *stream) error {
	for len(s.items) == 0 && !s.ended {
		page, err := p.API.Due(p.ctx, p.Type, client.DueOptions{Selector: p.Selector, Backoff: p.Backoff,
			Which: s.which, Limit: min(pageLimit, max(p.budget, minPage)), Continue: s.next})
		if err != nil {
			return fmt.Errorf("ask what is due: %w", err)
		}
		p.answered.Store(time.Now().UnixNano())
		for _, item := range page.Items {
			if p.judge(item, 0, p.memory.recall(item.ID)).Action == decide.Publish {
				s.items = append(s.items, due{item, page.AsOf})
			}
		}
		p.found.Add(int64(len(s.items)))
		s.next, s.ended = page.Continue, page.Continue == ""
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
