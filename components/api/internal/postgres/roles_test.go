package postgres

import (
	"net/url"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestTheApplicationChangesRowsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, text := range []string{
		`DROP TABLE statuses_first`,
		`ALTER TABLE clusters ADD COLUMN x int`,
		`CREATE INDEX ON clusters (name)`,
		`TRUNCATE statuses`,
		`SELECT * FROM statuses_first`,
		`DELETE FROM statuses_first`,
		`UPDATE audit_first SET principal = 'somebody else'`,
		`DELETE FROM goose_db_version`,
		`UPDATE settings SET value = 'zone'`,
		`UPDATE partitioned SET length = '1 second'`,
		`CREATE OR REPLACE FUNCTION make_partitions(text, integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
		`SELECT drop_expired_partition('clusters', interval '90 days')`,
		`SELECT drop_expired_partition('statuses', interval '0')`,
		`SELECT make_partitions('statuses', 1000000)`,
		`SELECT make_partitions('clusters; DROP TABLE clusters', 2)`,
	} {
		_, err := s.db.DB.ExecContext(t.Context(), text)
		if pq.As(err, pqerror.InsufficientPrivilege, pqerror.RaiseException) == nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestFunctionsOfTheMigratorUseNothingOfTheCallers: a table of the caller's in
// a schema that it puts first must not stand in for one of the migrator's.
func TestFunctionsOfTheMigratorUseNothingOfTheCallers(t *testing.T) {
	t.Parallel()
	s := open(t)
	conn, err := s.db.DB.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // back to the pool
	for _, text := range []string{
		`CREATE TEMPORARY TABLE partitioned (name text, length interval)`,
		`INSERT INTO pg_temp.partitioned VALUES ('clusters', '1 day')`,
		`SET search_path = pg_temp, public`,
	} {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), `SELECT make_partitions('clusters', 2)`); pq.As(err, pqerror.RaiseException) == nil {
		t.Errorf("it believed the caller's table: %v", err)
	}
}

// TestFunctionsOfTheCallersNeverRunAsTheMigrator: where the application may
// create functions in public, one that fits a call more exactly than
// PostgreSQL's own must not be found.
func TestFunctionsOfTheCallersNeverRunAsTheMigrator(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := asOwner(t, s).ExecContext(t.Context(), `GRANT CREATE ON SCHEMA public TO `+pgdev.ApplicationRole); err != nil {
		t.Fatal(err)
	}
	const body = `RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a function of the caller ran as %', current_user; END $$`
	for _, arguments := range []string{"text, text, text", "text, text", "text, regclass"} {
		if _, err := s.db.DB.ExecContext(t.Context(), `CREATE FUNCTION public.format(`+arguments+`) `+body); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{
		`SELECT make_partitions('statuses', 5)`,
		`SELECT drop_expired_partition(name, interval '90 days') FROM partitioned`,
	} {
		if _, err := s.db.DB.ExecContext(t.Context(), text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	var made int
	if err := s.db.DB.GetContext(t.Context(), &made, `SELECT count(*) FROM partitions WHERE parent = 'statuses' AND from_at > now()`); err != nil || made < 5 {
		t.Errorf("%d partitions lie ahead, %v", made, err)
	}
}

func TestServingWaitsForTheSchemaAndMakesNone(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	s := openWith(t, Config{URL: roles.Application})
	wait := func(when string) {
		t.Helper()
		err := s.Await(t.Context())
		if fleet.ErrorCode(err) != fleet.Unavailable || !strings.Contains(err.Error(), "migrate up") {
			t.Errorf("%s: %v", when, err)
		}
	}
	wait("an empty database")
	owner := openWith(t, Config{URL: roles.Owner}) // grants nothing
	if err := owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait("migrated, but nothing granted")
	migrate(t, roles.Owner)
	if err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, s, "a", nil)
	if _, err := asOwner(t, s).ExecContext(t.Context(), `DELETE FROM goose_db_version WHERE version_id > 1`); err != nil {
		t.Fatal(err)
	}
	wait("an older schema")
}

func TestMigrationsAreListed(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	s := openWith(t, Config{URL: roles.Owner})
	before, err := s.Migrations(t.Context())
	if err != nil || len(before) < 2 || !before[0].Applied.IsZero() {
		t.Fatalf("before: %+v, %v", before, err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := s.Migrations(t.Context())
	if err != nil || len(after) != len(before) {
		t.Fatalf("after: %+v, %v", after, err)
	}
	for _, m := range after {
		if m.Applied.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}
}

func TestTheShardKeyMovesWhenNobodyServes(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", map[string]string{"region": "us-east", "zone": "z1"})
	create(t, s, "b", nil)
	pools := seedPools(t, s, r.ID)
	owner, err := pgdev.AsOwner(s.From.URL)
	if err != nil {
		t.Fatal(err)
	}
	mover := openWith(t, Config{URL: owner})
	if err := mover.MoveShardKey(t.Context(), "zone"); err == nil || !strings.Contains(err.Error(), "stop every API") {
		t.Fatalf("while one serves: %v", err)
	}
	application := s.From.URL
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The server notices a closed connection in its own time.
	err = mover.MoveShardKey(t.Context(), "zone")
	for err != nil && strings.Contains(err.Error(), "stop every API") && t.Context().Err() == nil {
		err = mover.MoveShardKey(t.Context(), "zone")
	}
	if err != nil {
		t.Fatal(err)
	}
	stale := openWith(t, Config{URL: application})
	if err := stale.Await(t.Context()); err == nil || !strings.Contains(err.Error(), `"zone"`) {
		t.Errorf("serving by the old key: %v", err)
	}
	moved := openWith(t, Config{URL: application, ShardKey: "zone"})
	if err := moved.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	var key string
	if err := moved.db.DB.GetContext(t.Context(), &key, `SELECT shard_key FROM schedule WHERE id = $1`, r.ID); err != nil || key != "z1" {
		t.Errorf("shard key %q, %v", key, err)
	}
	var labels []string
	const both = `SELECT p.labels->>'zone' || ' ' || s.shard_key || ' ' || (s.labels = p.labels) FROM nodepools p JOIN nodepool_schedule s USING (id) ORDER BY p.name`
	if err := moved.db.DB.SelectContext(t.Context(), &labels, both); err != nil || len(labels) != pools || labels[0] != "z1 z1 true" || labels[1] != "z1 z1 true" {
		t.Errorf("pools: %q, %v", labels, err)
	}
}

// TestWhoCallsItselfOtherwiseServesAsWell: no name in the URL hides a serving API.
func TestWhoCallsItselfOtherwiseServesAsWell(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	migrate(t, roles.Owner)
	named, err := url.Parse(roles.Application)
	if err != nil {
		t.Fatal(err)
	}
	q := named.Query()
	q.Set("application_name", "mine")
	named.RawQuery = q.Encode()
	s := openWith(t, Config{URL: named.String()})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	mover := openWith(t, Config{URL: roles.Owner})
	if err := mover.MoveShardKey(t.Context(), "zone"); err == nil || !strings.Contains(err.Error(), "stop every API") {
		t.Errorf("while one serves: %v", err)
	}
}

// TestNobodyWritesByAShardKeyThatHasMoved: an API that has no connection, for a
// moment or because a pooler has it, is not seen by the move. What it writes
// afterwards by the old key is refused.
func TestNobodyWritesByAShardKeyThatHasMoved(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	p := c.pool("one")
	s.db.DB.SetMaxIdleConns(0)
	s.due.DB.SetMaxIdleConns(0)
	mover := openWith(t, Config{URL: asURL(t, s)})
	err := mover.MoveShardKey(t.Context(), "zone")
	for err != nil && strings.Contains(err.Error(), "stop every API") && t.Context().Err() == nil { // the server notices in its own time
		err = mover.MoveShardKey(t.Context(), "zone")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "b"}, once.Request{})
	wantCode(t, err, fleet.Unavailable)
	_, err = s.CreateIn(t.Context(), pools, all, c.id, fleet.NewResource{Name: "two"}, once.Request{})
	wantCode(t, err, fleet.Unavailable)
	for _, o := range []on{c, p} {
		_, err = o.patch(func(d *desired.State) { d.Labels = map[string]string{"zone": "z1"} })
		wantCode(t, err, fleet.Unavailable)
		o.mustPatch(func(d *desired.State) { d.Paused = true }) // which has nothing to do with it
	}
	if list, err := s.list(t.Context(), clusters, all, resource.Query{}); err != nil || len(list.Items) != 1 {
		t.Errorf("%d clusters, %v", len(list.Items), err)
	}
}

// asURL is where the store's database is for its owner.
func asURL(t testing.TB, s *Store) string {
	t.Helper()
	owner, err := pgdev.AsOwner(s.From.URL)
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

// seedPools puts pools of a cluster beside the store: one without, one with
// another value of the label zone.
func seedPools(t testing.TB, s *Store, owner string) int {
	t.Helper()
	for _, text := range []string{
		`INSERT INTO nodepools (id, owner_id, tenant, name, spec, status, labels, paused, deletion_protection, worked, generation, desired_version, reports_version, created_at, updated_at, touched_at)
		 SELECT gen_random_uuid(), $1, 'default', name, '{}', '{}', labels::jsonb, false, false, false, 1, 1, 0, now(), now(), now()
		 FROM (VALUES ('p', '{"region":"us-east"}'), ('q', '{"region":"us-east","zone":"elsewhere"}')) v (name, labels)`,
		`INSERT INTO nodepool_schedule (id, shard_key, ready, base, wakes, repeat, generation, phase, transitioned_at, labels)
		 SELECT id, 'us-east', false, now(), 1, 0, 1, 'Pending', now(), labels FROM nodepools WHERE owner_id = $1`,
	} {
		if _, err := s.db.DB.ExecContext(t.Context(), text, owner); err != nil {
			t.Fatal(err)
		}
	}
	return 2
}
