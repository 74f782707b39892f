package shard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
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
		m.onCoverage = func() (fleet.Coverage, error) { // as the API counts it, by the shard's own backoffs
			return fleet.Coverage{AsOf: fleet.At(time.Now()), Shards: []fleet.ShardCoverage{
				{Name: c.Name, Selector: c.Selector, Pending: int64(m.due(c.Backoff))}}}, nil
		}
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
