package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// family is a few clusters whose pools many change at once.
type family struct {
	*testing.T
	s        *Store
	mu       sync.Mutex
	clusters []string
	pools    []string
	made     atomic.Int64
	stones   atomic.Int64
	groups   atomic.Int64 // of more than one report
}

// TestFamiliesHoldTogether: whatever many writers do at once to clusters and
// their pools, nothing waits for ever, and every snapshot of the database obeys
// the rules that bind a cluster and its pools.
func TestFamiliesHoldTogether(t *testing.T) {
	t.Parallel()
	for range rounds(t) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		f := &family{T: t, s: open(t)}
		f.countGroups()
		register(t, f.s, "extra", fleet.NewAdapterInstance{ResourceTypes: []fleet.ResourceType{fleet.Clusters, fleet.NodePools}, HasDeletion: true})
		for range 3 {
			f.createCluster(rand.New(rand.NewPCG(seed, 0)))
		}
		const writers, each = 6, 60
		done := make(chan struct{})
		var all sync.WaitGroup
		for n := range writers {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(n)+1))
				for range each {
					f.act(r)
				}
			})
		}
		go func() { all.Wait(); close(done) }()
		looks := 0
		for running := true; running; looks++ {
			select {
			case <-done:
				running = false
			default:
			}
			f.look()
			if t.Failed() {
				<-done
				t.Fatalf("seed %d", seed)
			}
		}
		if n := deadlocks(t, f.s); n != 0 {
			t.Errorf("seed %d: %d deadlocks", seed, n)
		}
		if looks < 5 || f.stones.Load() == 0 || f.groups.Load() == 0 {
			t.Errorf("seed %d: %d looks, %d deletions and %d groups prove little", seed, looks, f.stones.Load(), f.groups.Load())
		}
	}
}

func (f *family) pick(r *rand.Rand, of *[]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := *of
	if len(list) == 0 {
		return "0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10"
	}
	return list[max(0, len(list)-1-r.IntN(8))] // the newest are alive
}

func (f *family) keep(in *[]string, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*in = append(*in, id)
}

func (f *family) createCluster(r *rand.Rand) {
	c, err := f.s.Create(f.Context(), clusters, "default", fleet.NewResource{
		Name: fmt.Sprintf("c-%d", f.made.Add(1)), Labels: map[string]string{"region": pickOne(r, regions)}}, once.Request{})
	if f.allow(err) {
		f.keep(&f.clusters, c.ID)
	}
}

// allow says whether an operation went through; what the rules refuse is fine.
func (f *family) allow(err error) bool {
	switch fleet.ErrorCode(err) {
	case "":
		return true
	case fleet.NotFound, fleet.Conflict, fleet.Superseded, fleet.Invalid:
	default:
		f.Error(err)
	}
	return false
}

func (f *family) act(r *rand.Rand) {
	ctx, s := f.Context(), f.s
	t, id := pools, f.pick(r, &f.pools)
	if r.IntN(3) == 0 {
		t, id = clusters, f.pick(r, &f.clusters)
	}
	change := func(d func(*desired.State)) {
		_, err := on{f, s, t, id}.patch(d)
		f.allow(err)
	}
	switch r.IntN(12) {
	case 0:
		f.createCluster(r)
	case 1, 2:
		p, err := s.CreateIn(ctx, pools, all, f.pick(r, &f.clusters), fleet.NewResource{Name: fmt.Sprintf("p-%d", f.made.Add(1)), Paused: r.IntN(8) == 0}, once.Request{})
		if f.allow(err) {
			f.keep(&f.pools, p.ID)
		}
	case 3:
		change(func(d *desired.State) { d.Labels = map[string]string{"region": pickOne(r, regions)} })
	case 4:
		change(func(d *desired.State) { d.Paused = !d.Paused })
	case 5:
		change(func(d *desired.State) { d.Spec = json.RawMessage(fmt.Sprintf(`{"n":%d}`, r.IntN(1000))) })
	case 6:
		_, err := s.Reconcile(ctx, t, all, id, nil)
		f.allow(err)
	case 7:
		out, err := s.Delete(ctx, t, all, id, desired.Removal{Force: r.IntN(4) == 0})
		if f.allow(err) && out.DeletedAt != nil {
			f.stones.Add(1)
		}
	default:
		f.report(r, t, id)
	}
}

// report sends what several adapters say, on a resource and on another of its
// type, at once, so that there are groups of reports.
func (f *family) report(r *rand.Rand, t fleet.TypeInfo, id string) {
	of := &f.pools
	if t.Type == fleet.Clusters {
		of = &f.clusters
	}
	phase := pickOne(r, []fleet.ReportPhase{pending, running, complete, complete, complete, failed})
	ids, adapters := []string{id, f.pick(r, of)}[:1+r.IntN(2)], []string{"validation", "dns", "extra"}[:1+r.IntN(3)]
	var said sync.WaitGroup
	for _, id := range ids {
		for _, adapter := range adapters {
			said.Go(func() {
				_, err := f.s.Report(f.Context(), t, all, id, fleet.NewReport{AdapterName: adapter, Phase: phase})
				f.allow(err)
			})
		}
	}
	said.Wait()
}

// countGroups counts the groups of more than one report.
func (f *family) countGroups() {
	for _, g := range f.s.groups {
		store := g.store
		g.store = func(ctx context.Context, group []*submission) error {
			if len(group) > 1 {
				f.groups.Add(1)
			}
			return store(ctx, group)
		}
	}
}

// kinSQL reads clusters and pools with their places in the schedule, in one
// snapshot.
const kinSQL = `
	SELECT r.id, r.owner_id, r.name, r.paused, r.labels->>'region' AS region, r.status->>'phase' AS phase, r.generation,
		r.deletion_at IS NOT NULL AS deleting, r.deleted_at IS NOT NULL AS deleted,
		s.id IS NOT NULL AS scheduled, coalesce(s.base = 'infinity', false) AS parked, coalesce(s.wake_at IS NOT NULL, false) AS woken,
		coalesce(s.shard_key, '') AS shard_key, coalesce(s.phase, '') AS scheduled_phase, coalesce(s.ready, false) AS ready,
		coalesce(s.generation, 0) AS scheduled_generation
	FROM %s r LEFT JOIN %s s USING (id)`

type member struct {
	ID                  string  `db:"id"`
	Owner               *string `db:"owner_id"`
	Name                string  `db:"name"`
	Paused              bool    `db:"paused"`
	Region              *string `db:"region"`
	Phase               string  `db:"phase"`
	Generation          int64   `db:"generation"`
	Deleting            bool    `db:"deleting"`
	Deleted             bool    `db:"deleted"`
	Scheduled           bool    `db:"scheduled"`
	Parked              bool    `db:"parked"`
	Woken               bool    `db:"woken"`
	ShardKey            string  `db:"shard_key"`
	ScheduledPhase      string  `db:"scheduled_phase"`
	Ready               bool    `db:"ready"`
	ScheduledGeneration int64   `db:"scheduled_generation"`
}

func (f *family) look() {
	var members []member
	err := f.snapshot(f.Context(), func(tx *sqlx.Tx) error {
		return tx.SelectContext(f.Context(), &members, fmt.Sprintf(kinSQL, "clusters", "schedule")+` UNION ALL `+fmt.Sprintf(kinSQL, "nodepools", "nodepool_schedule"))
	})
	if err != nil {
		f.Error(err)
	}
	byID, alive := map[string]member{}, map[string]int{}
	for _, m := range members {
		byID[m.ID] = m
		if m.Owner != nil && !m.Deleted {
			alive[*m.Owner]++
		}
	}
	for _, m := range members {
		if broken := m.broken(byID, alive[m.ID]); len(broken) > 0 {
			f.Errorf("%s: %s\n%+v", m.Name, strings.Join(broken, "; "), m)
		}
	}
}

func (f *family) snapshot(ctx context.Context, read func(*sqlx.Tx) error) error {
	tx, err := f.s.db.DB.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`)
	if err == nil {
		err = read(tx)
	}
	return errors.Join(err, tx.Rollback())
}

// broken names the rules that a member breaks; alive is how many pools it has.
func (m member) broken(byID map[string]member, alive int) []string {
	region := ""
	if m.Region != nil {
		region = *m.Region
	}
	rules := map[string]bool{
		"a tombstone has no pools and is not scheduled":      !m.Deleted || alive == 0 && !m.Scheduled && m.Phase == string(fleet.Deleted),
		"what is not deleted is scheduled":                   m.Deleted || m.Scheduled,
		"deleting and the phase agree":                       m.Deleted || m.Deleting == (m.Phase == string(fleet.Deleting)),
		"what is being deleted is not paused":                !m.Deleting || !m.Paused,
		"parked is what is paused or waits for pools":        m.Deleted || m.Parked == (m.Paused || m.Deleting && alive > 0),
		"what is parked is not woken":                        !m.Parked || !m.Woken,
		"the schedule knows phase, generation and shard key": m.Deleted || m.ScheduledPhase == m.Phase && m.ScheduledGeneration == m.Generation && m.ShardKey == region,
		"the schedule knows what is Ready":                   m.Deleted || m.Ready == (m.Phase == string(fleet.Ready)),
	}
	if m.Owner != nil {
		owner := byID[*m.Owner]
		rules["a pool is deleted no later than its cluster"] = m.Deleted || !owner.Deleted
		rules["pools of what is being deleted are as well"] = !owner.Deleting || m.Deleting
		rules["a pool has the region of its cluster"] = m.Deleted || owner.Region == m.Region || owner.Region != nil && m.Region != nil && *owner.Region == *m.Region
	}
	var broken []string
	for rule, holds := range rules {
		if !holds {
			broken = append(broken, rule)
		}
	}
	slices.Sort(broken)
	return broken
}
