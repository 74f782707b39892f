package shard

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// maxCounted is how many due items of one shard are counted.
const maxCounted = 100_000

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

// fill gives s items to take, unless there are none left. It passes over those
// whose event is out.
func (p *poll) fill(s *stream) error {
	for len(s.items) == 0 && !s.ended {
		if err := p.turn(p.ctx, s, min(pageLimit, max(p.budget, minPage))); err != nil {
			return err
		}
		p.found.Add(int64(len(s.items)))
	}
	return nil
}

// turn reads the next page of s.
func (p *poll) turn(ctx context.Context, s *stream, limit int) error {
	page, err := p.API.Due(ctx, p.Type, client.DueOptions{Selector: p.Selector, Backoff: p.Backoff,
		Which: s.which, Limit: limit, Continue: s.next})
	if ctx.Err() == nil {
		p.state.note(func(st *state) { st.status.API = err })
	}
	if err != nil {
		return fmt.Errorf("ask what is due: %w", err)
	}
	p.answered.Store(time.Now().UnixNano())
	s.items = nil
	for _, item := range page.Items {
		if p.judge(item, 0, p.memory.recall(item.ID)).Action == decide.Publish {
			s.items = append(s.items, due{item, page.AsOf})
		}
	}
	s.next, s.ended = page.Continue, page.Continue == ""
	return nil
}

// count looks, beside the publishing and once per poll, at the pages which the
// event budget may leave to later polls, so that what waits is known. It takes
// no longer than a poll interval and stops at maxCounted.
func (p *poll) count(streams ...stream) {
	if p.counting || p.MaxEventsPerSecond == 0 {
		return
	}
	p.counting = true
	total := p.found.Load()
	p.flying.Go(func() {
		ctx, cancel := context.WithTimeout(p.ctx, p.PollInterval)
		defer cancel()
		for _, s := range streams {
			for !s.ended && total < maxCounted {
				if p.turn(ctx, &s, pageLimit) != nil {
					break // the walk says so, if it goes on
				}
				total += int64(len(s.items))
			}
		}
		p.total = total
	})
}
