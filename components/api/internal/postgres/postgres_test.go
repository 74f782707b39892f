package postgres

import (
	gocmp "github.com/google/go-cmp/cmp"

	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestMain(m *testing.M) { pgdev.Main(m) }

var (
	required = []string{"validation", "dns"}
	clusters = fleet.Types()[0]
	pools    = fleet.Types()[1]
	all      = tenant.All()
)

// open returns a store that works as the application's role on a migrated
// database of the test's own.
func open(t testing.TB) *Store {
	t.Helper()
	roles := pgdev.DatabaseRoles(t)
	migrate(t, roles.Owner)
	s := openWith(t, Config{URL: roles.Application})
	if err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// migrate brings a database up to date as its owner.
func migrate(t testing.TB, owner string) {
	t.Helper()
	s := openWith(t, Config{URL: owner, Role: pgdev.ApplicationRole})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func openWith(t testing.TB, c Config) *Store {
	t.Helper()
	if c.MaxConns == 0 {
		c.MaxConns = 8
	}
	c.Required = map[fleet.ResourceType][]string{fleet.Clusters: required, fleet.NodePools: {"validation"}}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// asOwner connects to the store's database as its owner, for what the
// application's role may not do.
func asOwner(t testing.TB, s *Store) *sqlx.DB {
	t.Helper()
	owner, err := pgdev.AsOwner(s.From.URL)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlx.Open("postgres", owner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func create(t testing.TB, s *Store, name string, labels map[string]string) fleet.Resource {
	t.Helper()
	r, err := s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: name, Labels: labels, Spec: json.RawMessage(`{"version":"4.20.1"}`)}, once.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t testing.TB, s *Store, id string) fleet.Resource {
	t.Helper()
	return shown(t, s, clusters, id)
}

// shown is what a write would read of a resource, and that Get shows the same.
func shown(t testing.TB, s *Store, kind fleet.TypeInfo, id string) fleet.Resource {
	t.Helper()
	var out fleet.Resource
	err := s.db.Within(t.Context(), kind, func(ctx context.Context, x *database.Tx) (err error) {
		out, err = resource.Fetch(ctx, x, kind, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	item, err := s.Get(t.Context(), kind, all, id, true)
	if err != nil {
		t.Fatal(err)
	}
	if item.ResourceVersion != out.ResourceVersion { // written in between
		return out
	}
	text, err := item.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(unmarshal[any](t, []byte(database.JSON(out))), unmarshal[any](t, text)); diff != "" {
		t.Errorf("resource (-) and item (+):\n%s", diff)
	}
	return out
}

func report(t testing.TB, s *Store, id string, n fleet.NewReport) fleet.Report {
	t.Helper()
	r, err := s.Report(t.Context(), clusters, all, id, n)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func patch(t testing.TB, s *Store, id string, change desired.Change) fleet.Resource {
	t.Helper()
	r, err := s.Patch(t.Context(), clusters, all, id, change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func withSpec(spec string) desired.Change {
	return func(r fleet.Resource) (desired.State, error) {
		return desired.State{Labels: r.Labels, Spec: json.RawMessage(spec)}, nil
	}
}

func withLabels(labels map[string]string) desired.Change {
	return func(r fleet.Resource) (desired.State, error) { return desired.State{Labels: labels, Spec: r.Spec}, nil }
}

// remove deletes a cluster.
func remove(t testing.TB, s *Store, sc tenant.Scope, id string, force bool) error {
	t.Helper()
	_, err := s.Delete(t.Context(), clusters, sc, id, desired.Removal{Force: force})
	return err
}

func wantCode(t testing.TB, err error, want fleet.Code) {
	t.Helper()
	if got := fleet.ErrorCode(err); got != want {
		t.Errorf("error %v has code %q, want %q", err, got, want)
	}
}

// scheduleOf reads a cluster's schedule row in the vocabulary's form.
func scheduleOf(t testing.TB, s *Store, id string) fleet.Schedule {
	t.Helper()
	return scheduleIn(t, s, "schedule", id)
}

func scheduleIn(t testing.TB, s *Store, table, id string) fleet.Schedule {
	t.Helper()
	var row struct {
		WakeAt     *time.Time `db:"wake_at"`
		WakeReason *string    `db:"wake_reason"`
		Wakes      int64      `db:"wakes"`
		Ready      bool       `db:"ready"`
		Base       *time.Time `db:"base"` // NULL = parked
		Repeat     int        `db:"repeat"`
		Later      pq.Int64Array
	}
	if err := s.db.DB.GetContext(t.Context(), &row, `
		SELECT wake_at, wake_reason, wakes, ready, nullif(base, 'infinity') AS base, repeat,
			(SELECT array_agg((extract(epoch FROM m) * 1000000)::bigint) FROM unnest(later) m) AS later
		FROM `+table+` WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	out := fleet.Schedule{Wakes: row.Wakes, Ready: row.Ready, Parked: row.Base == nil, Repeat: row.Repeat}
	if row.Base != nil {
		out.Base = row.Base.UTC()
	}
	if row.WakeAt != nil {
		out.WakeAt, out.WakeReason = row.WakeAt.UTC(), fleet.Reason(*row.WakeReason)
	}
	for _, micros := range row.Later {
		out.Later = append(out.Later, time.UnixMicro(micros).UTC())
	}
	return out
}

// tablesOf are those of a type.
func tablesOf(t testing.TB, of fleet.TypeInfo) database.Tables {
	t.Helper()
	names, err := database.TablesFor(of)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func now(t testing.TB, s *Store) time.Time {
	t.Helper()
	at, err := s.db.Clock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// rounds is how often a random or violent test repeats.
func rounds(t testing.TB) int {
	t.Helper()
	return fleettest.Rounds(t)
}

func name(i int) string { return fmt.Sprintf("c-%d", i) }

func unmarshal[T any](t testing.TB, text []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// list collects a page, which the store itself never does.
func (s *Store) list(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, q resource.Query) (fleet.List, error) {
	items := []fleet.Resource{}
	out, err := s.List(ctx, t, sc, q, func(i resource.Item) error {
		text, err := i.AppendJSON(nil)
		if err != nil {
			return err
		}
		var r fleet.Resource
		err = json.Unmarshal(text, &r)
		items = append(items, r)
		return err
	})
	out.Items = items
	return out, err
}

// deadlocks is how many the store had so far. A connection tells what it saw at
// its end, so that all are ended first.
func deadlocks(t testing.TB, s *Store) int64 {
	t.Helper()
	s.db.DB.SetMaxIdleConns(0)
	s.due.DB.SetMaxIdleConns(0)
	db := asOwner(t, s)
	const serving = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hyperfleet-api'`
	for open := 1; open > 0; {
		if err := db.GetContext(t.Context(), &open, serving); err != nil {
			t.Fatal(err)
		}
	}
	var n int64
	if err := db.GetContext(t.Context(), &n, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); err != nil {
		t.Fatal(err)
	}
	return n
}
