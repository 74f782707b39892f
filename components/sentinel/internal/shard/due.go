package shard

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// due is a due item and when the database said so.
type due struct {
	fleet.DueItem
	asOf fleet.Time
}

// page is an answer of the API to what is due.
type page struct {
	fleet.DueList
	asked time.Time // before the question: whatever was recorded by then it takes into account
	err   error
}

// stream is one half of what is due, page after page.
type stream struct {
	which string
	items []due // of the current page, not yet taken
	asked time.Time
	next  string // where the page after it begins
	ended bool
	ahead chan page // the page after it, asked for meanwhile; nil = not yet
}

// fill gives s items to take, unless there are none left. It passes over those
// whose event is out.
func (p *poll) fill(ctx context.Context, s *stream) error {
	for len(s.items) == 0 && !s.ended {
		if s.ahead == nil {
			p.ask(ctx, s)
		}
		got := <-s.ahead
		s.ahead = nil
		if got.err != nil {
			return got.err
		}
		s.take(p, got)
		p.found.Add(int64(len(s.items)))
		// While these go out. What the budget will not reach is not asked for.
		if !s.ended && p.budget > len(s.items) {
			p.ask(ctx, s)
		}
	}
	return nil
}

// take makes a page the current one.
func (s *stream) take(p *poll, got page) {
	s.asked, s.next, s.ended = got.asked, got.Continue, got.Continue == ""
	for _, item := range got.Items {
		if p.judge(item, 0, p.memory.recall(item.ID)).Action == decide.Publish {
			s.items = append(s.items, due{item, got.AsOf})
		}
	}
}

// ask reads the next page of s beside the caller, no larger than the budget
// needs.
func (p *poll) ask(ctx context.Context, s *stream) {
	answer := make(chan page, 1)
	s.ahead = answer
	o := client.DueOptions{Selector: p.Selector, Backoff: p.Backoff, Which: s.which,
		Limit: min(pageLimit, max(p.budget, minPage)), Continue: s.next}
	p.flying.Go(func() {
		got := page{asked: time.Now()}
		got.DueList, got.err = p.API.Due(ctx, p.Type, o)
		if ctx.Err() == nil {
			p.state.note(func(st *state) { st.status.API = got.err })
		}
		if got.err != nil {
			got.err = fmt.Errorf("ask what is due: %w", got.err)
		} else {
			p.answered.Store(time.Now().UnixNano())
		}
		answer <- got
	})
}

// oldest is when the oldest page in hand was asked for. A page that was asked
// for meanwhile is newer than the one before it.
func oldest(now time.Time, streams ...*stream) time.Time {
	for _, s := range streams {
		if !s.asked.IsZero() && (!s.ended || len(s.items) > 0) && s.asked.Before(now) {
			now = s.asked
		}
	}
	return now
}
