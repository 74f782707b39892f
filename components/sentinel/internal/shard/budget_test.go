package shard

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

func TestTheEventBudgetIsKeptAndShared(t *testing.T) {
	for _, most := range []int{1, 7, 40} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// More than the budget is woken all the time, and more is expired.
				m, p := newModel().created(100+60*most).silent(100+60*most), &press{}
				c := standard()
				c.MaxEventsPerSecond = most
				if most == 1 {
					c.PollInterval = time.Second // a budget of one event per poll
				}
				r := start(t, c, m, p)
				const minutes = 1
				time.Sleep(minutes * time.Minute)
				r.stop()
				woken, expired := 0, 0
				for _, out := range p.out() {
					for _, s := range out {
						if s.Reason == fleet.BackoffExpired {
							expired++
						} else {
							woken++
						}
					}
				}
				total := most * 60 * minutes
				if n := woken + expired; n > total+max(1, most/20)+1 || n < total*9/10 {
					t.Errorf("%d events in %d minutes, want about %d and never more", n, minutes, total)
				}
				if woken < total*4/10 || expired < total*4/10 {
					t.Errorf("%d woken and %d expired: one starves", woken, expired)
				}
			})
		})
	}
}

func TestWhatTheBudgetLeavesIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, rate = 1_930, 20
		m, p := newModel().created(n).silent(n), &press{}
		c := standard()
		c.MaxEventsPerSecond = rate
		r := start(t, c, m, p)
		for range 5 {
			time.Sleep(6 * time.Second)
			// Of the last poll that ended, and of what was published since.
			pending, left := int(r.value(t, "hyperfleet_sentinel_resources_pending")), 2*n-p.confirmed()
			if pending < left || pending > left+3*rate*int(c.PollInterval.Seconds()) {
				t.Errorf("%d pending, but %d events are not out", pending, left)
			}
		}
	})
}

// endless is an API on which always more is due.
type endless struct {
	*model
	pages atomic.Int64
}

func (e *endless) Due(_ context.Context, _ fleet.ResourceType, o client.DueOptions) (fleet.DueList, error) {
	n := int(e.pages.Add(1))
	out := fleet.DueList{AsOf: fleet.At(time.Now()), Continue: "more"}
	for i := range o.Limit {
		out.Items = append(out.Items, fleet.DueItem{ID: id(n*pageLimit + i), Generation: 1, Reason: fleet.BackoffExpired, Token: "t/0/false"})
	}
	return out, nil
}

func TestCountingWhatIsPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endless{model: newModel()}
		c := standard()
		c.MaxEventsPerSecond = 1
		r := start(t, c, e, &press{})
		time.Sleep(7 * time.Second)
		if asked := e.pages.Load(); asked > 2*(maxCounted/pageLimit+10) {
			t.Errorf("asked %d times", asked)
		}
		if got := r.value(t, "hyperfleet_sentinel_resources_pending"); got < maxCounted-10 {
			t.Errorf("%v pending, want at least %d", got, maxCounted-10)
		}
	})
}
