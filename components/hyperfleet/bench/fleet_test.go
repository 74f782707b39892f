package bench

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// dueRows are due in most measurements.
const dueRows = 10_000

// fleets are the databases: how many of how many resources are due. Those that
// are not are so for the next ten years.
func fleets(rows int) map[string]string {
	past, future := "timestamptz '2026-01-01'", "now() + interval '10 years'"
	return map[string]string{
		"small":    insert(dueRows, "true", past, "NULL", "NULL"),
		"large":    insert(rows, "true", fmt.Sprintf("CASE WHEN n %% %d = 0 THEN %s ELSE %s END", rows/dueRows, past, future), "NULL", "NULL"),
		"quiet":    insert(rows, "true", future, "NULL", "NULL"),
		"silent":   insert(rows, "true", past, "NULL", "NULL"),
		"notready": insert(dueRows, "false", past, "NULL", "NULL"),
		"burst":    insert(100_000, "true", past, "NULL", "NULL"),
		// As many were created at once; others are due since before.
		"import": insert(rows, "false", "now()", "now()", "'generation-changed'"),
	}
}

// insert writes the schedule alone: nothing else is asked for what is due.
func insert(rows int, ready, base, wake, reason string) string {
	return fmt.Sprintf(`
		INSERT INTO schedule (id, shard_key, ready, base, wake_at, wake_reason, wakes, repeat, generation, phase, transitioned_at, labels)
		SELECT gen_random_uuid(), 'region-1', %s, %s, %s, %s, 1, 0, 1, 'Ready', timestamptz '2026-01-01', '{"region":"region-1"}'
		FROM generate_series(1, %d) n`, ready, base, wake, reason, rows)
}

// stack is a durable PostgreSQL with every fleet.
type stack struct {
	*testing.B
	pg   *pgdev.Server
	dir  string // of PostgreSQL
	temp string
	rows int
	key  signer
	http *http.Client // to admin ports
}

func newStack(b *testing.B) *stack {
	b.Helper()
	pgdev.Need(b)
	x := &stack{B: b, rows: benchRows(b), temp: b.TempDir(), key: newSigner(b), http: &http.Client{Timeout: time.Minute}}
	// BENCH_DATA keeps the fleets for the next run.
	if x.dir = os.Getenv("BENCH_DATA"); x.dir == "" {
		x.dir = filepath.Join(x.temp, "postgres")
	}
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	var err error
	if x.pg, err = pgdev.Start(ctx, pgdev.Options{DataDir: x.dir, Durable: true}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.pg.Stop() })
	for _, text := range []string{`ALTER SYSTEM SET shared_buffers = '1GB'`, `ALTER SYSTEM SET max_wal_size = '8GB'`,
		`ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'`} {
		x.exec("postgres", text)
	}
	if err := x.pg.Stop(); err != nil {
		b.Fatal(err)
	}
	if x.pg, err = pgdev.Start(ctx, pgdev.Options{DataDir: x.dir, Durable: true}); err != nil {
		b.Fatal(err)
	}
	return x
}

func benchRows(b *testing.B) int {
	b.Helper()
	text := os.Getenv("BENCH_ROWS")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2*dueRows {
		b.Fatalf("BENCH_ROWS=%q: write a number from %d", text, 2*dueRows)
	}
	return n
}

// open connects to a fleet.
func (x *stack) open(fleet string) *sql.DB {
	x.Helper()
	db, err := sql.Open("postgres", x.pg.URL(fleet))
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { _ = db.Close() })
	return db
}

func (x *stack) exec(fleet string, statements ...string) {
	x.Helper()
	db := x.open(fleet)
	defer db.Close() // its settings end with it
	db.SetMaxOpenConns(1)
	for _, text := range statements {
		if _, err := db.ExecContext(x.Context(), text); err != nil {
			x.Fatalf("%s: %v", text, err)
		}
	}
}

// fleet makes the named fleet unless it is there.
func (x *stack) fleet(name string) {
	x.Helper()
	ctx := x.Context()
	if err := x.pg.CreateDatabase(ctx, name); err != nil {
		x.Fatal(err)
	}
	db := x.open(name)
	defer db.Close() // nobody may be connected to what is copied
	var loaded bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('loaded') IS NOT NULL`).Scan(&loaded); err != nil {
		x.Fatal(err)
	}
	if loaded {
		return
	}
	begun := time.Now()
	x.migrate(name)
	statements := []string{
		`SET session_replication_role = replica`, // no look at clusters for each row
		`SET synchronous_commit = off`,
		`ALTER TABLE schedule SET (autovacuum_enabled = false)`, // when it likes is not when we measure
		fleets(x.rows)[name],
	}
	if name == "large" { // who writes statuses needs something to write to
		statements = append(statements, `
			INSERT INTO clusters (id, tenant, name, spec, status, labels, generation, desired_version, reports_version, created_at, updated_at, touched_at)
			SELECT id, 'default', 'c-' || id, '{}', '{"phase":"Ready","observedGeneration":1,"adapters":[],"conditions":[],"lastTransitionTime":"2026-01-01T00:00:00.000000Z"}',
				labels, 1, 1, 1, transitioned_at, transitioned_at, transitioned_at
			FROM schedule WHERE base > now() LIMIT 20000`)
	}
	if name == "import" { // the others: Ready, of the same shard, and due in turn
		statements = append(statements, insert(dueRows, "true", "now() + interval '1 year'", "NULL", "NULL"))
	}
	x.exec(name, append(statements, `CREATE EXTENSION pg_stat_statements`, `VACUUM ANALYZE schedule`, `VACUUM ANALYZE clusters`, `CREATE TABLE loaded ()`)...)
	fmt.Fprintf(os.Stderr, "loaded %s in %s\n", name, time.Since(begun).Round(time.Second))
}
