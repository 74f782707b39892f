package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// shardSelectors are drawn from; some leave gaps, some overlap, some match nothing.
var shardSelectors = []string{
	"", "region=us-east", "region=eu-west", "region in (us-east,ap-south)", "region!=us-east", "!region", "region=",
	"env=prod", "env!=prod", "region=us-east,env=prod", "region=us-east,env!=prod", "region notin (us-east,eu-west),!env",
	"region=a,region=b", "size>3", "size<4", "env in (prod,dev),size>1", "region=nowhere",
}

// TestCoverageIsWhatKubernetesSays compares coverages of random fleets and
// random shards with what the original makes of the selectors, one by one.
func TestCoverageIsWhatKubernetesSays(t *testing.T) {
	t.Parallel()
	gaps, overlaps, pending := int64(0), int64(0), int64(0)
	for range rounds(t) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		w := &world{t: t, s: open(t), r: rand.New(rand.NewPCG(seed, 0)), kind: clusters}
		for range 60 {
			w.create()
			m := w.resources[len(w.resources)-1]
			if w.r.IntN(3) > 0 { // else woken
				if _, err := w.s.db.DB.ExecContext(t.Context(), `UPDATE schedule SET wake_at = NULL, ready = $2 WHERE id = $1`, m.id, w.r.IntN(2) == 0); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.s.db.DB.ExecContext(t.Context(), `UPDATE schedule SET base = least(base, now()) - $2 * interval '1 hour',
				labels = labels || jsonb_build_object('size', $3::text) WHERE id = $1`, m.id, w.r.IntN(6), fmt.Sprint(w.r.IntN(6))); err != nil {
				t.Fatal(err)
			}
		}
		for range 40 {
			got := w.divide()
			gaps, overlaps = gaps+got.Uncovered.Count, overlaps+got.Overlapping.Count
			for _, shard := range got.Shards {
				pending += shard.Pending
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
	if gaps == 0 || overlaps == 0 || pending == 0 {
		t.Errorf("%d gaps, %d overlaps and %d pending prove little", gaps, overlaps, pending)
	}
}

// divide registers other shards and compares the coverage with brute force.
func (w *world) divide() fleet.Coverage {
	w.t.Helper()
	for _, table := range []string{"shards", "coverage"} {
		if _, err := w.s.db.DB.ExecContext(w.t.Context(), `DELETE FROM `+table); err != nil {
			w.t.Fatal(err)
		}
	}
	live := map[string]registry.NewShard{}
	for i := range w.r.IntN(7) { // none as well
		n := newShard("a", pickOne(w.r, shardSelectors))
		n.Backoff = w.backoff()
		name := fmt.Sprintf("s-%d", i)
		if _, err := w.s.HoldShard(w.t.Context(), name, n); err != nil {
			w.t.Fatal(err)
		}
		if w.r.IntN(6) == 0 {
			age(w.t, w.s, name, time.Minute)
			continue
		}
		live[name] = n
	}
	got, err := w.s.Coverage(w.t.Context(), clusters)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := gocmp.Diff(w.brute(live, got.AsOf.Time), got); diff != "" {
		w.t.Errorf("coverage (-brute force +SQL):\n%s", diff)
	}
	return got
}

func (w *world) brute(live map[string]registry.NewShard, now time.Time) fleet.Coverage {
	w.t.Helper()
	out := fleet.Coverage{Kind: "Coverage", ResourceType: fleet.Clusters, Uncovered: fleet.Found{IDs: []string{}}, Overlapping: fleet.Found{IDs: []string{}},
		Shards: []fleet.ShardCoverage{}, AsOf: fleet.At(now), Total: int64(len(w.resources))}
	by := map[string]*fleet.ShardCoverage{}
	for name, n := range live {
		by[name] = &fleet.ShardCoverage{Name: name, Holder: n.Holder, Selector: n.Selector}
	}
	for _, m := range w.resources {
		row, set, matching := scheduleOf(w.t, w.s, m.id), w.labelsOf(m.id), []*fleet.ShardCoverage{}
		for name, n := range live {
			sel, err := labels.Parse(n.Selector)
			if err != nil {
				w.t.Fatal(err)
			}
			if !sel.Matches(set) {
				continue
			}
			matching = append(matching, by[name])
			by[name].Matched++
			if _, due := row.Due(n.Backoff, now); due {
				since := row.Base.Add(n.Backoff.For(row.Ready))
				if !row.WakeAt.IsZero() && row.WakeAt.Before(since) {
					since = row.WakeAt
				}
				at := fleet.At(since)
				if by[name].Pending++; by[name].OldestDue == nil || at.Before(by[name].OldestDue.Time) {
					by[name].OldestDue = &at
				}
			}
		}
		switch {
		case len(matching) == 0:
			out.Uncovered.Count++
			out.Uncovered.IDs = append(out.Uncovered.IDs, m.id)
		case len(matching) > 1:
			for _, shard := range matching {
				shard.Overlapping++
			}
			out.Overlapping.Count++
			out.Overlapping.IDs = append(out.Overlapping.IDs, m.id)
		}
	}
	slices.Sort(out.Uncovered.IDs)
	slices.Sort(out.Overlapping.IDs)
	for i := range 10 {
		if shard := by[fmt.Sprintf("s-%d", i)]; shard != nil {
			out.Shards = append(out.Shards, *shard)
		}
	}
	return out
}

func (w *world) labelsOf(id string) labels.Set {
	w.t.Helper()
	var text []byte
	if err := w.s.db.DB.GetContext(w.t.Context(), &text, `SELECT labels FROM schedule WHERE id = $1`, id); err != nil {
		w.t.Fatal(err)
	}
	return unmarshal[labels.Set](w.t, text)
}

func TestCoverageTellsTheFirstIDs(t *testing.T) {
	t.Parallel()
	s := open(t)
	fill(t, s, 250)
	for _, name := range []string{"a", "b"} {
		if _, err := s.HoldShard(t.Context(), name, newShard("x", "region=region-1")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Coverage(t.Context(), clusters)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := s.db.DB.SelectContext(t.Context(), &want, `SELECT id FROM schedule WHERE shard_key <> 'region-1' ORDER BY id LIMIT 100`); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got.Uncovered.IDs); diff != "" || got.Uncovered.Count+got.Overlapping.Count != 250 || got.Total != 250 {
		t.Errorf("%d uncovered, %d overlapping; ids (-want +got):\n%s", got.Uncovered.Count, got.Overlapping.Count, diff)
	}
}

// TestCoverageIsComputedOnceAMinute: what one replica computed another answers.
func TestCoverageIsComputedOnceAMinute(t *testing.T) {
	t.Parallel()
	s := open(t)
	other := openWith(t, Config{URL: s.From.URL})
	first, err := s.Coverage(t.Context(), clusters)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, "late", nil)
	again, err := other.Coverage(t.Context(), clusters)
	if err != nil || !gocmp.Equal(first, again) {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	if _, err := s.db.DB.ExecContext(t.Context(), `UPDATE coverage SET as_of = as_of - interval '60 seconds'`); err != nil {
		t.Fatal(err)
	}
	if last, ok, err := other.LastCoverage(t.Context(), clusters); err != nil || !ok || last.AsOf != first.AsOf {
		t.Errorf("the last one is %+v, %v, %v", last, ok, err)
	}
	if fresh, err := other.Coverage(t.Context(), clusters); err != nil || fresh.Total != 1 || fresh.Uncovered.Count != 1 {
		t.Errorf("a minute later: %+v, %v", fresh, err)
	}
}

// TestWhoWaitsForACoverageMayLeave: while one is computed, others wait as long
// as their callers do.
func TestWhoWaitsForACoverageMayLeave(t *testing.T) {
	t.Parallel()
	s := open(t)
	done, err := s.Turn(t.Context()) // one that takes long
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	told := make(chan error)
	go func() {
		_, err := s.Turn(ctx)
		told <- err
	}()
	leave()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("who left was told %v", err)
	}
	done()
	if _, err := s.Coverage(t.Context(), clusters); err != nil {
		t.Error(err)
	}
}
