package postgres

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// node is a part of PostgreSQL's plan, as it was run.
type node struct {
	Type   string  `json:"Node Type"`
	Index  string  `json:"Index Name"`
	Table  string  `json:"Relation Name"`
	Rows   float64 `json:"Actual Rows"`
	Loops  float64 `json:"Actual Loops"`
	Plans  []node  `json:"Plans"`
	Hit    int     `json:"Shared Hit Blocks"`
	Read   int     `json:"Shared Read Blocks"`
	Fetch  int     `json:"Heap Fetches"`
	Filter int     `json:"Rows Removed by Filter"`
}

func (n node) walk(visit func(node)) {
	visit(n)
	for _, child := range n.Plans {
		child.walk(visit)
	}
}

// explain runs the due query on a connection of the pool that is made for it.
func explain(t testing.TB, s *Store, q schedule.Query, limit int) (node, string) {
	t.Helper()
	shards, rest := selector.Split(q.Selector, DefaultShardKey)
	text, args := schedule.Statement(q, page.Place{}, shards, rest, false, limit)
	return explainText(t, s, text, args...)
}

// explainText runs a statement on clusters on the same connections.
func explainText(t testing.TB, s *Store, text string, args ...any) (node, string) {
	t.Helper()
	names, err := database.TablesFor(clusters)
	if err != nil {
		t.Fatal(err)
	}
	var out string
	if err := s.due.DB.GetContext(t.Context(), &out, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+names.SQL(text), args...); err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan node `json:"Plan"`
	}
	if err := json.Unmarshal([]byte(out), &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan, out
}

// fill puts rows beside the store, faster than it could: a fleet of which
// every hundredth row has been silent for an hour.
func fill(t testing.TB, s *Store, rows int, after ...string) {
	t.Helper()
	tx, err := s.db.DB.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	// VACUUM calls nothing visible whose commit is not on disk yet.
	if _, err := tx.ExecContext(t.Context(), `SET LOCAL synchronous_commit = on`); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`INSERT INTO clusters (id, tenant, name, spec, status, labels, generation, desired_version, reports_version, created_at, updated_at, touched_at)
		 SELECT gen_random_uuid(), 'default', 'f-' || n, '{}', '{}', jsonb_build_object('region', 'region-' || n / 100 % 4), 1, 1, 1, now(), now(), now()
		 FROM generate_series(1, $1) n`,
		`INSERT INTO schedule (id, shard_key, ready, base, wakes, repeat, generation, phase, transitioned_at, labels)
		 SELECT id, labels->>'region', n % 200 <> 0, now() - CASE WHEN n % 100 = 0 THEN interval '1 hour' ELSE interval '1 second' END,
		 1, 0, 1, CASE WHEN n % 200 <> 0 THEN 'Ready' ELSE 'Pending' END, now(), labels
		 FROM (SELECT *, row_number() OVER () AS n FROM clusters LIMIT $1) c`,
	} {
		if _, err := tx.ExecContext(t.Context(), text, rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	owner := asOwner(t, s)
	for _, text := range after {
		if _, err := owner.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDueQueryKeepsItsPlanUnderLoad: where nothing has been vacuumed, which is
// how a busy table looks, PostgreSQL left alone would sort a bitmap's rows.
func TestDueQueryKeepsItsPlanUnderLoad(t *testing.T) {
	t.Parallel()
	s := open(t)
	fill(t, s, 20_000, `ANALYZE schedule`)
	selector, err := labels.Parse("region=region-1")
	if err != nil {
		t.Fatal(err)
	}
	plan, out := explain(t, s, schedule.Query{Selector: selector, Backoff: fleet.Backoff{NotReady: 60e9, Ready: 1800e9}, Woken: true, Expired: true}, 1001)
	plan.walk(func(n node) {
		if n.Table != "" && n.Type != "Index Only Scan" {
			t.Errorf("%s on %s:\n%s", n.Type, n.Table, out)
		}
	})
	if plan.Rows < 50 {
		t.Errorf("%v rows found", plan.Rows)
	}
}

// TestDueQueryReadsOnlyWhatIsDue: whatever asks by shard key alone scans
// ranges of the covering indexes, fetches no row, sorts no more than it found,
// and finds by range instead of by filter.
func TestDueQueryReadsOnlyWhatIsDue(t *testing.T) {
	t.Parallel()
	s := open(t)
	fill(t, s, 20_000, `VACUUM ANALYZE schedule`)
	for _, text := range []string{"region=region-1", "region in (region-1,region-3)", "region!=region-1", ""} {
		t.Run(text, func(t *testing.T) {
			sel, err := labels.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			hour := fleet.Backoff{NotReady: 60e9, Ready: 1800e9}
			plan, out := explain(t, s, schedule.Query{Selector: sel, Backoff: hour, Woken: true, Expired: true}, 1001)
			scanned := 0.0
			plan.walk(func(n node) {
				switch {
				case n.Table == "":
				case n.Type != "Index Only Scan":
					t.Errorf("%s on %s", n.Type, n.Table)
				case n.Fetch > 0 || n.Filter > 0:
					t.Errorf("%d fetched rows, %d filtered on %s", n.Fetch, n.Filter, n.Index)
				default:
					scanned += n.Rows * n.Loops
				}
				if strings.Contains(n.Type, "Sort") && n.Rows > 1001 {
					t.Errorf("%s of %v rows", n.Type, n.Rows)
				}
			})
			if plan.Rows < 50 || scanned > plan.Rows+20 || plan.Hit+plan.Read > 100 {
				t.Errorf("%v rows found, %v scanned, %d pages", plan.Rows, scanned, plan.Hit+plan.Read)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// TestReportsLeaveIndexesAlone: a report rewrites the resource's row in place.
func TestReportsLeaveIndexesAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", map[string]string{"region": "us-east"})
	var before, after, hot int64
	size := `SELECT pg_relation_size('clusters_labels') + pg_relation_size('clusters_name') + pg_relation_size('clusters_pkey')`
	if err := s.db.DB.GetContext(t.Context(), &before, size); err != nil {
		t.Fatal(err)
	}
	conn, err := s.db.DB.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	updates, err := conn.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer updates.Rollback()
	names, _ := database.TablesFor(clusters)
	for range 5 {
		if _, err := updates.ExecContext(t.Context(), names.SQL(resource.SaveStatusSQL), r.ID, resource.StatusJSON(r.Status), r.UpdatedAt.Time, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := updates.GetContext(t.Context(), &hot, `SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'clusters'`); err != nil {
		t.Fatal(err)
	}
	if err := s.db.DB.GetContext(t.Context(), &after, size); err != nil {
		t.Fatal(err)
	}
	if hot != 5 || before != after {
		t.Errorf("%d of 5 updates were heap-only; indexes grew from %d to %d bytes", hot, before, after)
	}
}
