package api_test

import (
	"context"
	"database/sql"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// TestAStandbyTakesOver: the primary is killed under writes, and its standby,
// which every commit waited for, is promoted. The API finds it by itself, and
// breaks no promise; then the next standby takes the place of the one that was killed.
func TestAStandbyTakesOver(t *testing.T) {
	t.Parallel()
	pgdev.Database(t) // skips where there is no PostgreSQL
	primary := startPostgres(t, pgdev.Options{Durable: true})
	if err := primary.CreateDatabase(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	standby := standbyOf(t, primary, 0)
	r := start(t, either(t, primary, standby), nil)
	p, stop := underWrites(t, r.Client)
	for round := range rounds(t) {
		if round > 0 {
			standby = standbyOf(t, primary, portOf(t, standby))
		}
		p.await(t, 60)
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := primary.Stop(); err != nil { // gives the port back
			t.Fatal(err)
		}
		eventually(t, "it is not ready without a primary", func() bool { status, _ := read(t, r.admin+"/readyz"); return status == 503 })
		if err := standby.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is ready again", func() bool { status, _ := read(t, r.admin+"/readyz"); return status == 200 })
		primary, standby = standby, primary
	}
	p.await(t, 60)
	stop()
	p.retry(t, r.Client)
	p.compare(t, primary.URL("fleet"))
}

// TestWhatNoStandbyConfirmedIsNotAnswered201: a commit that waits for a standby
// that is gone ends with its request, and then only the primary has it.
func TestWhatNoStandbyConfirmedIsNotAnswered201(t *testing.T) {
	t.Parallel()
	pgdev.Database(t) // skips where there is no PostgreSQL
	primary := startPostgres(t, pgdev.Options{Durable: true})
	if err := primary.CreateDatabase(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	cfg := open()
	cfg.DatabaseURL, cfg.Migrate = service.Secret(primary.URL("fleet")), true
	cfg.RequestTimeout, cfg.AcquireTimeout = time.Second, time.Second
	r := startWith(t, cfg, nil)
	if _, err := r.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "before"}); err != nil {
		t.Fatal(err)
	}
	if err := standbyOf(t, primary, 0).Kill(); err != nil {
		t.Fatal(err)
	}
	made, err := r.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "a"}, client.IdempotencyKey("k"))
	if fleet.ErrorCode(err) != fleet.Unavailable {
		t.Errorf("answered %+v, %v", made, err)
	}
	standbyOf(t, primary, 0)
	made, err = r.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "a"}, client.IdempotencyKey("k"))
	if err != nil || made.Name != "a" {
		t.Errorf("again: %+v, %v", made, err)
	}
}

// standbyOf starts a standby for which every commit of the primary waits from
// now on. Its port is a free one, or a former server's.
func standbyOf(t *testing.T, primary *pgdev.Server, port int) *pgdev.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	standby, err := primary.Standby(ctx, pgdev.Options{Port: port, Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	db, err := sql.Open("postgres", primary.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // a test's connection
	for _, text := range []string{`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "commits wait for the standby", func() bool {
		var n int
		const following = `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'`
		if err := db.QueryRowContext(ctx, following).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	return standby
}

func portOf(t *testing.T, s *pgdev.Server) int {
	t.Helper()
	u, err := url.Parse(s.URL("fleet"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// either is the address of the database on whichever of both takes writes.
func either(t *testing.T, a, b *pgdev.Server) string {
	t.Helper()
	u, err := url.Parse(a.URL("fleet"))
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("port", u.Port()+","+strconv.Itoa(portOf(t, b)))
	u.Host, u.RawQuery = "127.0.0.1,127.0.0.1", query.Encode()
	return u.String()
}
