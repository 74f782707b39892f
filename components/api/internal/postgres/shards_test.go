package postgres

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func newShard(holder, selector string) registry.NewShard {
	return registry.NewShard{Holder: holder, Type: fleet.Clusters, Selector: selector, PollInterval: 5 * time.Second,
		Backoff: fleet.Backoff{NotReady: 10 * time.Second, Ready: 30 * time.Minute}}
}

// age lets time pass for a shard.
func age(t testing.TB, s *Store, name string, by time.Duration) {
	t.Helper()
	if _, err := s.db.DB.ExecContext(t.Context(), `UPDATE shards SET renewed_at = renewed_at - $2 * interval '1 microsecond' WHERE name = $1`, name, by.Microseconds()); err != nil {
		t.Fatal(err)
	}
}

func TestAShardHasOneLiveHolder(t *testing.T) {
	t.Parallel()
	s := open(t)
	hold := func(holder string) (fleet.Shard, error) {
		return s.HoldShard(t.Context(), "one", newShard(holder, "region=us-east"))
	}
	first, err := hold("a")
	if err != nil || !first.Live || first.PollInterval != "5s" || first.BackoffReady != "30m0s" || first.ExpiresAt.Sub(first.RenewedAt.Time) != 15*time.Second {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := hold("a")
	if err != nil || !again.RenewedAt.After(first.RenewedAt.Time) || again.RegisteredAt != first.RegisteredAt {
		t.Errorf("renewed: %+v after %+v, %v", again, first, err)
	}
	_, err = hold("b")
	wantCode(t, err, fleet.ShardHeld)
	wantCode(t, s.ReleaseShard(t.Context(), "one", "b"), fleet.ShardHeld)
	age(t, s, "one", 14*time.Second)
	_, err = hold("b")
	wantCode(t, err, fleet.ShardHeld)
	age(t, s, "one", 2*time.Second)
	if got, err := s.Shard(t.Context(), "one"); err != nil || got.Live {
		t.Errorf("after 16 s it is %+v, %v", got, err)
	}
	taken, err := hold("b")
	if err != nil || taken.Holder != "b" || !taken.RegisteredAt.After(first.RegisteredAt.Time) {
		t.Errorf("taken over: %+v, %v", taken, err)
	}
	slow := newShard("b", "")
	slow.PollInterval = time.Minute
	if _, err := s.HoldShard(t.Context(), "one", slow); err != nil {
		t.Fatal(err)
	}
	age(t, s, "one", 170*time.Second)
	_, err = hold("a")
	wantCode(t, err, fleet.ShardHeld) // three poll intervals are longer than 15 s
	age(t, s, "one", 20*time.Second)
	if _, err = hold("a"); err != nil {
		t.Errorf("after three poll intervals: %v", err)
	}
	if err := s.ReleaseShard(t.Context(), "one", "a"); err != nil {
		t.Error(err)
	}
	wantCode(t, s.ReleaseShard(t.Context(), "one", ""), fleet.NotFound)
	_, err = s.Shard(t.Context(), "one")
	wantCode(t, err, fleet.NotFound)
}

// TestOneOfManyTakesAShard: of many who come at once exactly one holds it.
func TestOneOfManyTakesAShard(t *testing.T) {
	t.Parallel()
	s := open(t)
	for round := range 5 * rounds(t) {
		var took atomic.Int64
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				_, err := s.HoldShard(t.Context(), "one", newShard(fmt.Sprintf("%d-%d", round, n), ""))
				if err == nil {
					took.Add(1)
				} else {
					wantCode(t, err, fleet.ShardHeld)
				}
			})
		}
		all.Wait()
		if took.Load() != 1 {
			t.Fatalf("%d of 6 hold the shard", took.Load())
		}
		age(t, s, "one", time.Minute)
	}
}

func TestShardsAreListedByName(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 5 {
		if _, err := s.HoldShard(t.Context(), fmt.Sprintf("s-%d", i), newShard("a", "")); err != nil {
			t.Fatal(err)
		}
	}
	got, q := "", registry.ShardQuery{Type: fleet.Clusters, Limit: 2}
	for {
		list, err := s.Shards(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, shard := range list.Items {
			got += shard.Name + " "
		}
		if q.Continue = list.Continue; q.Continue == "" {
			break
		}
	}
	if got != "s-0 s-1 s-2 s-3 s-4 " {
		t.Errorf("listed %q", got)
	}
	if list, err := s.Shards(t.Context(), registry.ShardQuery{Type: fleet.NodePools}); err != nil || len(list.Items) != 0 {
		t.Errorf("of another type: %+v, %v", list, err)
	}
}
