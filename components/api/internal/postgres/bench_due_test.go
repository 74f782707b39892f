package postgres

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// What the due query may cost, in pages: against a bare scan of the same index
// for the same rows, and in the large fleet against the small one.
const (
	maxAgainstBare  = 1.5
	maxAgainstSmall = 1.25
)

// cost is the least that several runs of a statement took.
type cost struct {
	rows    float64
	buffers int
	millis  float64
}

// benchPages compares the due query of one region's shard with the bare
// index-only scan that it cannot do without, in a small and in the large fleet
// of which the same number of resources is due. It fails where the due query
// reads too many pages; times are printed and judge nothing.
func (x *bench) benchPages(table io.Writer) {
	small, err := Open(x.Context(), Config{URL: x.fleet(10_000), MaxConns: 4})
	if err != nil {
		x.Fatal(err)
	}
	defer small.Close() // a benchmark's
	var before cost
	for _, f := range []struct {
		store *Store
		rows  int
	}{{small, 10_000}, {x.store, x.rows}} {
		bare, due, none := measure(x.B, f.store)
		ratio := float64(due.buffers) / float64(bare.buffers)
		fmt.Fprintf(table, "due of %d, %.0f are due\t%d pages, %.2f ms (nothing due: %d, %.2f ms)\tbare index-only scan: %d pages, %.2f ms\t%.2f\t%.2f at most\n",
			f.rows, due.rows, due.buffers, due.millis, none.buffers, none.millis, bare.buffers, bare.millis, ratio, maxAgainstBare)
		if bare.rows != benchDue || due.rows != benchDue {
			x.Errorf("%d rows: %.0f and %.0f are due, want %d", f.rows, bare.rows, due.rows, benchDue)
		}
		if ratio > maxAgainstBare {
			x.Errorf("%d rows: the due query reads %.2f times the pages of the bare scan, at most %.2f are allowed", f.rows, ratio, maxAgainstBare)
		}
		if before.buffers == 0 {
			before = due
			continue
		}
		growth := float64(due.buffers) / float64(before.buffers)
		fmt.Fprintf(table, "due of %d\t%d pages\tof 10000: %d pages\t%.2f\t%.2f at most\n", f.rows, due.buffers, before.buffers, growth, maxAgainstSmall)
		if growth > maxAgainstSmall {
			x.Errorf("the due query reads %.2f times the pages in the large fleet, at most %.2f are allowed", growth, maxAgainstSmall)
		}
	}
}

// benchDue is most of what a region of the small fleet has. The descents of a
// tree that is one level higher cost the same few pages however many are due.
const benchDue = 2000

// populate makes a fleet of four regions, one resource in ten not ready, in
// which benchDue resources of one region have been silent for some minutes.
func populate(b *testing.B, s *Store, rows int) {
	b.Helper()
	conn, err := s.db.DB.Connx(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{
		`SET statement_timeout = 0`,
		`SET synchronous_commit = on`, // VACUUM calls nothing visible whose commit is not on disk yet
		fmt.Sprintf(`INSERT INTO clusters (id, tenant, name, spec, status, labels, generation, desired_version, reports_version, created_at, updated_at, touched_at)
			SELECT first_id(now() - (%[1]d - n) * interval '1 millisecond'), 'default', 'c-' || n,
				jsonb_build_object('provider', 'aws', 'version', '4.20.1', 'region', 'region-' || n %% 4, 'note', repeat(md5(n::text), 12)),
				'{"phase":"Ready","adapters":[],"conditions":[],"observedGeneration":0,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}',
				jsonb_build_object('region', 'region-' || n %% 4, 'env', CASE WHEN n %% 100 = 0 THEN 'prod' ELSE 'dev' END)
					|| CASE WHEN n %% 200 = 0 THEN '{"canary":"yes"}' ELSE '{}'::jsonb END,
				1, 1, 1, now(), now(), now() FROM generate_series(1, %[1]d) n`, rows),
		fmt.Sprintf(`INSERT INTO schedule (id, shard_key, ready, base, wakes, repeat, generation, phase, transitioned_at, labels)
			SELECT id, labels->>'region', n %% 10 <> 1 AND n > 4 * %[1]d, now() - random() * interval '5 minutes'
					- CASE WHEN n <= 4 * %[1]d AND n %% 4 = 1 THEN interval '1 hour' ELSE interval '0' END,
				1, 0, 1, CASE WHEN n %% 10 <> 1 AND n > 4 * %[1]d THEN 'Ready' ELSE 'Pending' END, now(), labels
			FROM (SELECT id, labels, substr(name, 3)::int AS n FROM clusters) c`, benchDue),
		`VACUUM ANALYZE clusters`,
		`VACUUM ANALYZE schedule`,
	} {
		if _, err := conn.ExecContext(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}

// measure runs the statements in turns, so that all find the same cache.
func measure(b *testing.B, s *Store) (bare, due, none cost) {
	b.Helper()
	selector, err := labels.Parse("region=region-1")
	if err != nil {
		b.Fatal(err)
	}
	half := fleet.Backoff{NotReady: 30 * time.Minute, Ready: 30 * time.Minute}
	day := fleet.Backoff{NotReady: 24 * time.Hour, Ready: 24 * time.Hour}
	const bareSQL = `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
		SELECT id, generation, phase, transitioned_at, wakes FROM schedule
		WHERE shard_key = $1 AND ready = $2 AND base <= $3 ORDER BY base, id LIMIT $4`
	at, err := s.db.Clock(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for range 7 {
		var out string
		if err := s.due.DB.GetContext(b.Context(), &out, bareSQL, "region-1", false, at.Add(-half.NotReady), benchDue+1); err != nil {
			b.Fatal(err)
		}
		bare = least(b, bare, out)
		_, out = explain(b, s, schedule.Query{Selector: selector, Backoff: half, Woken: true, Expired: true}, benchDue+1)
		due = least(b, due, out)
		_, out = explain(b, s, schedule.Query{Selector: selector, Backoff: day, Woken: true, Expired: true}, benchDue+1)
		none = least(b, none, out)
	}
	return bare, due, none
}

func least(b *testing.B, c cost, explained string) cost {
	b.Helper()
	var plans []struct {
		Plan node    `json:"Plan"`
		Time float64 `json:"Execution Time"`
	}
	if err := json.Unmarshal([]byte(explained), &plans); err != nil {
		b.Fatal(err)
	}
	p := plans[0]
	buffers := p.Plan.Hit + p.Plan.Read
	if c.rows != 0 {
		buffers, p.Time = min(buffers, c.buffers), min(p.Time, c.millis)
	}
	return cost{rows: p.Plan.Rows, buffers: buffers, millis: p.Time}
}
