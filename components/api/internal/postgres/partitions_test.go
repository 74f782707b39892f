package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/partition"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// endPartition makes the present partition of a table end now: what was stored
// is in the past, what comes goes into a new partition.
func endPartition(t testing.TB, s *Store, table, length string) {
	t.Helper()
	tx, err := asOwner(t, s).BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // after Commit it does nothing
	execute := func(text string, args ...any) {
		t.Helper()
		if _, err := tx.ExecContext(t.Context(), text, args...); err != nil {
			t.Fatal(err)
		}
	}
	var all []struct {
		Name string     `db:"name"`
		From *time.Time `db:"from_at"`
	}
	if err := tx.SelectContext(t.Context(), &all, `SELECT name, from_at FROM partitions WHERE parent = $1 ORDER BY until_at`, table); err != nil {
		t.Fatal(err)
	}
	from := "MINVALUE"
	for _, p := range all {
		execute(`ALTER TABLE ` + table + ` DETACH PARTITION ` + p.Name)
		if p.From != nil && p.From.After(time.Now()) {
			execute(`DROP TABLE ` + p.Name)
			continue
		}
		var until string
		if p.From != nil {
			if err := tx.GetContext(t.Context(), &from, `SELECT quote_literal(first_id($1))`, p.From); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.GetContext(t.Context(), &until, `SELECT quote_literal(first_id(clock_timestamp() + interval '1 millisecond'))`); err != nil {
			t.Fatal(err)
		}
		execute(`ALTER TABLE ` + table + ` ATTACH PARTITION ` + p.Name + ` FOR VALUES FROM (` + from + `) TO (` + until + `)`)
	}
	execute(`UPDATE partitioned SET length = $1::interval`, length)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.keeper.MakePartitions(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func partitionsOf(t testing.TB, s *Store, table string) []string {
	t.Helper()
	var names []string
	if err := s.db.DB.SelectContext(t.Context(), &names, `SELECT name FROM partitions WHERE parent = $1 ORDER BY until_at`, table); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestPartitionsAreMadeAheadOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := partitionsOf(t, s, "statuses")
	if len(first) != 1+partition.Ahead || first[0] != "statuses_first" {
		t.Fatalf("after the migration: %v", first)
	}
	results := make(chan error, 4)
	endPartition(t, s, "statuses", "1 hour")
	for range cap(results) {
		go func() { results <- s.keeper.MakePartitions(t.Context()) }()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	again := partitionsOf(t, s, "statuses")
	if len(again) != 2+partition.Ahead { // the first, the present one, those ahead
		t.Errorf("after the present one ended: %v", again)
	}
	ahead, err := s.keeper.PartitionsAhead(t.Context())
	if err != nil || ahead["statuses"] != partition.Ahead {
		t.Errorf("ahead: %v, %v", ahead, err)
	}
	var touching int
	const gaps = `
		SELECT count(*) FROM partitions a JOIN partitions b ON a.parent = b.parent AND a.until_at = b.from_at WHERE a.parent = 'statuses'`
	if err := s.db.DB.GetContext(t.Context(), &touching, gaps); err != nil || touching != len(again)-1 {
		t.Errorf("%d of %d partitions begin where another ends: %v", touching, len(again), err)
	}
}

func TestAFoldNeverLeavesItsPartition(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	n := fleet.NewReport{AdapterName: "dns", Phase: complete, Message: "same", ObservedGeneration: 1, Attempt: 1}
	first := report(t, s, r.ID, n)
	if again := report(t, s, r.ID, n); again.ID != first.ID || again.Reports != 2 {
		t.Fatalf("in the same partition: %+v", again)
	}
	endPartition(t, s, "statuses", "1 hour")
	wakes := scheduleOf(t, s, r.ID).Wakes
	second := report(t, s, r.ID, n)
	if second.ID == first.ID || second.Reports != 1 {
		t.Errorf("in the next partition: %+v", second)
	}
	if now := scheduleOf(t, s, r.ID).Wakes; now != wakes {
		t.Errorf("a repeated Complete woke the resource: %d wakes, then %d", wakes, now)
	}
	if third := report(t, s, r.ID, n); third.ID != second.ID || third.Reports != 2 {
		t.Errorf("again in the next partition: %+v", third)
	}
	list, err := history(t.Context(), s, clusters, all, r.ID, ReportQuery{})
	if err != nil || len(list.Items) != 2 || list.Items[0].ID != second.ID || list.Items[1].Reports != 2 {
		t.Errorf("history: %+v, %v", list.Items, err)
	}
}

func TestExpiredPartitionsGoAndTheLatestReportStays(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	n := fleet.NewReport{AdapterName: "dns", Phase: complete, Message: "long ago"}
	old := report(t, s, r.ID, n)
	endPartition(t, s, "statuses", "1 second")
	// The old partition is moved back in time, as its ids are.
	owner := asOwner(t, s)
	for _, text := range []string{
		`ALTER TABLE statuses DETACH PARTITION statuses_first`,
		`UPDATE statuses_first SET id = first_id(now() - interval '1 hour')`,
		`UPDATE adapter_reports SET status_id = first_id(now() - interval '1 hour')`,
		`DO $$ BEGIN EXECUTE format('ALTER TABLE statuses ATTACH PARTITION statuses_first FOR VALUES FROM (MINVALUE) TO (%L)', first_id(now() - interval '30 minutes')); END $$`,
	} {
		if _, err := owner.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.keeper.DropPartitions(t.Context(), 31*time.Minute); err != nil {
		t.Fatal(err)
	}
	if names := partitionsOf(t, s, "statuses"); names[0] != "statuses_first" {
		t.Fatalf("a partition younger than the retention is gone: %v", names)
	}
	ahead, err := s.Upkeep(t.Context(), 29*time.Minute)
	if err != nil || ahead["statuses"] < partition.Ahead {
		t.Fatalf("upkeep: %v, %v", ahead, err)
	}
	if names := partitionsOf(t, s, "statuses"); names[0] == "statuses_first" {
		t.Errorf("an expired partition is still there: %v", names)
	}
	if got := get(t, s, r.ID).Status.Adapters; len(got) != 1 || got[0].Message != "long ago" {
		t.Errorf("the latest report went with its history: %+v", got)
	}
	again, err := s.Report(t.Context(), clusters, all, r.ID, n)
	if err != nil || again.ID == old.ID || again.Reports != 1 {
		t.Errorf("the same report after its entry is gone: %+v, %v", again, err)
	}
}

// TestABusyTableIsLeftAlone: neither making nor dropping waits long for a lock,
// and what waits behind it goes on.
func TestABusyTableIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	endPartition(t, s, "statuses", "1 second")
	r := create(t, s, "a", nil)
	busy, err := s.db.DB.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Rollback() // a reader
	var n int
	if err := busy.GetContext(t.Context(), &n, `SELECT count(*) FROM clusters`); err != nil {
		t.Fatal(err)
	}
	var expired string
	for err == nil && expired == "" { // until the first partition is a second old
		err = s.db.DB.GetContext(t.Context(), &expired, `SELECT coalesce(drop_expired_partition('statuses', interval '1 second'), '')`)
	}
	if pq.As(err, pqerror.LockNotAvailable) == nil {
		t.Errorf("dropping under a reader: %q, %v", expired, err)
	}
	report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: complete})
	if err := s.keeper.DropPartitions(t.Context(), time.Second); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("said %v", err)
	}
}

func TestOldTombstonesGoWithAllThatHangsOnThem(t *testing.T) {
	t.Parallel()
	s := open(t)
	kept, young, old := create(t, s, "kept", nil), create(t, s, "young", nil), create(t, s, "old", nil)
	for _, r := range []fleet.Resource{kept, young, old} {
		report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: complete})
	}
	for _, r := range []fleet.Resource{young, old} {
		tombstone(t, s, r.ID)
	}
	if _, err := s.db.DB.ExecContext(t.Context(), `UPDATE clusters SET deleted_at = deleted_at - interval '91 days' WHERE id = $1`, old.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upkeep(t.Context(), 90*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"clusters WHERE id", "statuses WHERE cluster_id", "adapter_reports WHERE cluster_id"} {
		for _, r := range []fleet.Resource{kept, young, old} {
			var n int
			if err := s.db.DB.GetContext(t.Context(), &n, `SELECT count(*) FROM `+table+` = $1`, r.ID); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 0, false: 1}[r.ID == old.ID]; n != want {
				t.Errorf("%s %s: %d rows, want %d", table, r.Name, n, want)
			}
		}
	}
}

// tombstone makes a resource one, however its deletion goes.
func tombstone(t testing.TB, s *Store, id string) {
	t.Helper()
	for _, text := range []string{`UPDATE clusters SET deleted_at = clock_timestamp() WHERE id = $1`, `DELETE FROM schedule WHERE id = $1`} {
		if _, err := s.db.DB.ExecContext(t.Context(), text, id); err != nil {
			t.Fatal(err)
		}
	}
}
