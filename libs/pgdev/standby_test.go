package pgdev

import (
	"database/sql"
	"testing"
)

func TestAStandbyFollowsAndTakesOver(t *testing.T) {
	t.Parallel()
	primary := start(t, Options{Durable: true})
	ctx := testContext(t)
	standby, err := primary.Standby(ctx, Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	execute(t, primary.URL("postgres"), `ALTER SYSTEM SET synchronous_standby_names = '*'`)
	execute(t, primary.URL("postgres"), `SELECT pg_reload_conf()`)
	for query(t, primary.URL("postgres"), `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`) != "1" {
		if ctx.Err() != nil {
			t.Fatal("no commit waits for the standby")
		}
	}
	execute(t, primary.URL("postgres"), "CREATE TABLE t AS SELECT 'here' AS v")
	db, err := sql.Open("postgres", standby.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // a test's connection
	if _, err := db.ExecContext(ctx, "CREATE TABLE u AS SELECT 1"); err == nil {
		t.Error("a standby takes writes")
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	if got := query(t, standby.URL("postgres"), "SELECT v FROM t"); got != "here" {
		t.Errorf("got %q", got)
	}
	execute(t, standby.URL("postgres"), "CREATE TABLE u AS SELECT 1")
	if _, err := standby.Standby(ctx, Options{DataDir: standby.room.dir}); err == nil {
		t.Error("a standby was made where a server is")
	}
}
