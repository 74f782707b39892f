package postgres

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// server starts a PostgreSQL of the test's own with a migrated database.
func server(t *testing.T) (*pgdev.Server, *url.URL) {
	t.Helper()
	pgdev.Database(t) // skips where there is no PostgreSQL
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pg, err := pgdev.Start(ctx, pgdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop() })
	if err := pg.CreateDatabase(ctx, "fleet"); err != nil {
		t.Fatal(err)
	}
	migrated := openWith(t, Config{URL: pg.URL("fleet")})
	if err := errors.Join(migrated.Migrate(ctx), migrated.Close()); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(pg.URL("fleet"))
	if err != nil {
		t.Fatal(err)
	}
	return pg, u
}

func TestAStoreWhoseServerWasKilledClosesQuietly(t *testing.T) {
	t.Parallel()
	pg, _ := server(t)
	s := openWith(t, Config{URL: pg.URL("fleet")})
	if err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, s, "a", nil)
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestAStoreFollowsItsDatabase to another host and another password, without
// a restart; in between it says that the database is away.
func TestAStoreFollowsItsDatabase(t *testing.T) {
	t.Parallel()
	first, a := server(t)
	_, b := server(t)
	file := filepath.Join(t.TempDir(), "password")
	save := func(u *url.URL) {
		password, _ := u.User.Password()
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(a)
	both := "postgres://hyperfleet@127.0.0.1,127.0.0.1/fleet?sslmode=disable&port=" + a.Port() + "," + b.Port()
	s := openWith(t, Config{URL: both, PasswordFile: file})
	if err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, s, "on-the-first", nil)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "nowhere"}, once.Request{})
	var seen *fleet.Error
	if !errors.As(err, &seen) || seen.Code != fleet.Unavailable || seen.RetryAfter <= 0 || strings.Contains(err.Error(), "fleet?") {
		t.Errorf("with the first gone and the second's password unknown: %v", err)
	}
	save(b)
	create(t, s, "on-the-second", nil)
	list, err := s.list(t.Context(), clusters, all, resource.Query{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "on-the-second" {
		t.Errorf("the second has %+v, %v", list.Items, err)
	}
}

// TestConnectionsToAStandbyAreLetGo: behind one address a standby may answer
// until a fail-over is through.
func TestConnectionsToAStandbyAreLetGo(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	migrate(t, roles.Owner)
	s := openWith(t, Config{URL: roles.Application})
	create(t, s, "before", nil)
	// What a standby says to a statement that writes; it says no to BEGIN READ WRITE too.
	for _, text := range []string{`SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY`, `SET transaction_read_only = on`} {
		if err := s.db.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	err := s.db.Exec(t.Context(), `DELETE FROM schedule`)
	wantCode(t, database.Outward(t.Context(), "write", err), fleet.Unavailable)
	if closed := s.db.DB.Stats().MaxIdleClosed; closed == 0 {
		t.Error("no connection was let go")
	}
	if err := s.db.Exec(t.Context(), `DELETE FROM schedule`); err != nil {
		t.Errorf("on a new connection: %v", err)
	}
}

// TestNobodyWaitsLongForAConnection: with every connection at work a request is
// told to try again, and the next one is served as soon as one is free.
func TestNobodyWaitsLongForAConnection(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	migrate(t, roles.Owner)
	s := openWith(t, Config{URL: roles.Application, MaxConns: 2, Acquire: 20 * time.Millisecond})
	r := create(t, s, "a", nil)
	var refused error
	err := s.db.Rows(t.Context(), `SELECT 1`, nil, func(*sqlx.Rows) (bool, error) { // on the only one
		_, refused = s.Get(t.Context(), clusters, all, r.ID, false)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var seen *fleet.Error
	if !errors.As(refused, &seen) || seen.Code != fleet.Unavailable || seen.RetryAfter <= 0 {
		t.Errorf("with no connection free: %v", refused)
	}
	get(t, s, r.ID)
}
