package postgres

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// walkDue reads every page of a due list.
func walkDue(t testing.TB, s *Store, q schedule.Query) []fleet.DueItem {
	t.Helper()
	return walkDueOf(t, s, clusters, q)
}

func walkDueOf(t testing.TB, s *Store, kind fleet.TypeInfo, q schedule.Query) []fleet.DueItem {
	t.Helper()
	var items []fleet.DueItem
	for {
		page, err := s.Due(t.Context(), kind, q)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, page.Items...)
		if page.Continue == "" {
			return items
		}
		q.Continue = page.Continue
	}
}

func dueIDs(t testing.TB, s *Store, q schedule.Query) []string {
	t.Helper()
	var ids []string
	for _, item := range walkDue(t, s, q) {
		ids = append(ids, item.ID)
	}
	return ids
}

// publishAll records everything that is due as published.
func publishAll(t testing.TB, s *Store) {
	t.Helper()
	backoff := fleet.Backoff{NotReady: 1e12, Ready: 1e12}
	var tokens []string
	for _, item := range walkDue(t, s, schedule.Query{Backoff: backoff}) {
		tokens = append(tokens, item.Token)
	}
	if err := s.Published(t.Context(), clusters, tokens, backoff); err != nil {
		t.Fatal(err)
	}
}

func TestTokensThatNeverWereAreNamed(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	page, err := s.Due(t.Context(), clusters, schedule.Query{})
	if err != nil {
		t.Fatal(err)
	}
	good := page.Items[0].Token
	err = s.Published(t.Context(), clusters, []string{good, "x", good[:20], good + "AA", ""}, fleet.Backoff{})
	var e *fleet.Error
	if !errors.As(err, &e) || e.Code != fleet.BadRequest || len(e.Problems) != 4 || e.Problems[0].Pointer != "/tokens/1" {
		t.Errorf("error %v", err)
	}
	if got := scheduleOf(t, s, r.ID); got.WakeAt.IsZero() {
		t.Error("bad tokens recorded the good one")
	}
	gone := schedule.Token{ID: "0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10", Wakes: 1, Woken: true}.String()
	if err := s.Published(t.Context(), clusters, []string{good, gone, good}, fleet.Backoff{}); err != nil {
		t.Error(err)
	}
	if got := scheduleOf(t, s, r.ID); !got.WakeAt.IsZero() || got.Repeat != 1 {
		t.Errorf("after one event with two tokens: %+v", got)
	}
}

// TestOverlappingRecordingsNeverWaitForEachOther: batches over the same rows in
// opposite orders, at once, with reporters among them.
func TestOverlappingRecordingsNeverWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 40 {
		create(t, s, name(i), nil)
	}
	items := walkDue(t, s, schedule.Query{})
	var tokens []string
	for _, item := range items {
		tokens = append(tokens, item.Token)
	}
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			mine := slices.Clone(tokens)
			if n%2 == 1 {
				slices.Reverse(mine)
			}
			for i := range 10 {
				if err := s.Published(context.Background(), clusters, mine, fleet.Backoff{}); err != nil {
					t.Error(err)
				}
				if _, err := s.Report(context.Background(), clusters, all, items[(n*7+i)%40].ID, fleet.NewReport{AdapterName: "dns", Phase: running}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := deadlocks(t, s); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// TestManyShardKeyValues: the plan for very many values means the same.
func TestManyShardKeyValues(t *testing.T) {
	t.Parallel()
	s := open(t)
	const n = 256 + 5 // more than have a piece of the statement each
	for i := range n {
		create(t, s, name(i), map[string]string{"region": name(i)})
	}
	for _, limit := range []int{7, 1000} {
		if got := len(dueIDs(t, s, schedule.Query{Limit: limit})); got != n {
			t.Errorf("%d due in pages of %d, want %d", got, limit, n)
		}
	}
	var wide int // on the one connection that was ever needed
	const prepared = `SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%shard_key <> ALL (keys.without)%'`
	if err := s.due.DB.GetContext(t.Context(), &wide, prepared); err != nil || wide == 0 {
		t.Errorf("the plan for many values was not taken: %v", err)
	}
	selector, err := labels.Parse("region notin (c-1,c-2)")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(dueIDs(t, s, schedule.Query{Selector: selector})); got != n-2 {
		t.Errorf("%d due without two regions, want %d", got, n-2)
	}
}

func TestBackoffsNeverRunOutOfTime(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	forever := fleet.Backoff{NotReady: math.MaxInt64, Ready: math.MaxInt64}
	for range 8 {
		items := walkDue(t, s, schedule.Query{Backoff: fleet.Backoff{NotReady: -1}})
		page, err := s.Due(t.Context(), clusters, schedule.Query{Backoff: forever})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range append(items, page.Items...) {
			if err := s.Published(t.Context(), clusters, []string{item.Token}, forever); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.db.DB.ExecContext(t.Context(), `UPDATE schedule SET base = now() - interval '1 hour'`); err != nil {
			t.Fatal(err)
		}
	}
	if got := scheduleOf(t, s, r.ID); got.Repeat != fleet.MaxRepeat {
		t.Errorf("schedule %+v", got)
	}
}

// TestRetryToComeSurvivesAnExpiredBackoff: an event that a backoff caused does
// not serve a wake-up whose moment is still to come; one that the wake-up
// caused does.
func TestRetryToComeSurvivesAnExpiredBackoff(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	publishAll(t, s)
	report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running, RetryAfter: "1h"})
	items := walkDue(t, s, schedule.Query{})
	if len(items) != 1 || items[0].Reason != fleet.BackoffExpired {
		t.Fatalf("due: %+v", items)
	}
	if err := s.Published(t.Context(), clusters, []string{items[0].Token}, fleet.Backoff{}); err != nil {
		t.Fatal(err)
	}
	if got := scheduleOf(t, s, r.ID); got.WakeAt.IsZero() || got.WakeReason != fleet.Retry {
		t.Fatalf("the retry was swallowed: %+v", got)
	}
	if _, err := s.db.DB.ExecContext(t.Context(), `UPDATE schedule SET wake_at = wake_at - interval '2 hours'`); err != nil {
		t.Fatal(err)
	}
	publishAll(t, s)
	if got := scheduleOf(t, s, r.ID); !got.WakeAt.IsZero() {
		t.Errorf("the retry was published, but it stays: %+v", got)
	}
}
