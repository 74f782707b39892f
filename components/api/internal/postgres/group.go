package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	maxGroup     = 256              // reports of one transaction
	maxWaiting   = 2048             // reports that wait for their group, of up to 36 KiB
	maxFlights   = 2                // groups of one resource type that are being stored at once
	groupTimeout = 20 * time.Second // of one group, however patient its callers are
)

// errAlone sends a report on its own way: nothing of it was stored, and what
// it needs a group does not do.
var errAlone = errors.New("store it alone")

// submission is one report on its way into a group, and what came of it.
type submission struct {
	scope  tenant.Scope
	id     string
	report fleet.NewReport
	done   chan struct{} // closed when the fields below are set

	out           fleet.Report
	folded        bool
	before, after fleet.Phase
	err           error
}

// groups gathers reports on one type of resource that come at the same time
// into one transaction. Nobody waits for company: a report that comes while
// nothing is being stored goes at once; those that come meanwhile go together.
type groups struct {
	store func(context.Context, []*submission) error

	mu      sync.Mutex
	waiting []*submission
	flights int
	busy    map[string]bool // resources whose reports are being stored
	all     sync.WaitGroup
}

// submit stores a report and returns when its group is committed, or when ctx
// ends. The group goes on then, because it is not only the caller's; a report
// that no group has taken yet goes with its caller.
func (g *groups) submit(ctx context.Context, m *submission) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.done = make(chan struct{})
	g.mu.Lock()
	if len(g.waiting) >= maxWaiting {
		g.mu.Unlock()
		return &fleet.Error{Code: fleet.Unavailable, Detail: "too many reports wait to be stored; try again", RetryAfter: database.RetryAfter}
	}
	g.waiting = append(g.waiting, m)
	if g.flights < maxFlights {
		g.flights++
		g.all.Go(func() { g.fly(context.WithoutCancel(ctx)) })
	}
	g.mu.Unlock()
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		g.leave(m)
		return ctx.Err()
	}
}

// leave takes back a report that nobody has begun to store.
func (g *groups) leave(m *submission) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(other *submission) bool { return other == m })
}

// fly stores groups until none is left that it could take.
func (g *groups) fly(ctx context.Context) {
	var group []*submission
	for {
		if group = g.next(group); len(group) == 0 {
			return
		}
		limited, cancel := context.WithTimeout(ctx, groupTimeout)
		err := g.store(limited, group)
		cancel()
		for _, m := range group {
			if err != nil {
				m.err = err
			}
			close(m.done)
		}
	}
}

// next takes the oldest that can go together after those that were stored. An
// adapter's second report on a resource waits until the first is stored, and
// what concerns a resource of another flight waits for that flight. With none
// to take the flight ends; what is left is the other's to take.
func (g *groups) next(stored []*submission) []*submission {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range stored {
		delete(g.busy, m.id)
	}
	type speaker struct{ id, adapter string }
	taken := map[speaker]bool{}
	var group, rest []*submission
	for _, m := range g.waiting {
		who := speaker{m.id, m.report.AdapterName}
		if len(group) == maxGroup || taken[who] || g.busy[m.id] {
			rest = append(rest, m)
			continue
		}
		taken[who] = true
		group = append(group, m)
	}
	g.waiting = rest
	if len(group) == 0 {
		g.flights--
		return nil
	}
	if g.busy == nil {
		g.busy = map[string]bool{}
	}
	for _, m := range group {
		g.busy[m.id] = true
	}
	return group
}

// wait returns when nothing is being stored.
func (g *groups) wait() { g.all.Wait() }
