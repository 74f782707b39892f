package postgres

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// TestNoStatementKeepsASnapshotForLong: what a statement sees cannot be
// vacuumed away until it ends, on whichever connection.
func TestNoStatementKeepsASnapshotForLong(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, from := range []*database.Pool{s.db, s.due} {
		var most []string
		if err := from.Read(t.Context(), &most, `SHOW statement_timeout`); err != nil || most[0] != "10s" {
			t.Errorf("a statement may last %v: %v", most, err)
		}
	}
}

func TestWhatIsSilentAndNotReadyCountsAsStuck(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, name := range []string{"silent", "heard", "paused", "ready"} {
		create(t, s, name, nil)
	}
	for _, text := range []string{
		`UPDATE schedule SET transitioned_at = now() - interval '1 hour' FROM clusters c WHERE c.id = schedule.id AND c.name <> 'heard'`,
		`UPDATE schedule SET base = 'infinity' FROM clusters c WHERE c.id = schedule.id AND c.name = 'paused'`,
		`UPDATE schedule SET ready = true, phase = 'Ready' FROM clusters c WHERE c.id = schedule.id AND c.name = 'ready'`,
	} {
		if _, err := s.db.DB.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := s.CountByPhase(t.Context(), clusters, 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := map[fleet.Phase]schedule.Count{fleet.Pending: {All: 3, Stuck: 1}, fleet.Provisioning: {}, fleet.Ready: {All: 1}, fleet.Failed: {}, fleet.Deleting: {}}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestCountingReadsTheCoveringIndexAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	fill(t, s, 20_000, `VACUUM ANALYZE schedule`)
	plan, out := explainText(t, s, schedule.CountSQL, schedule.Micros(time.Hour))
	plan.walk(func(n node) {
		if n.Table != "" && (n.Type != "Index Only Scan" || n.Fetch > 0) {
			t.Errorf("%s on %s, %d rows fetched:\n%s", n.Type, n.Table, n.Fetch, out)
		}
	})
}
