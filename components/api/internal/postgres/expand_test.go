package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// TestTheVersionBeforeServesOnTheNewSchema: while an update rolls out, replicas
// of the version before work on a schema that is migrated already. Their
// recorded statements run, as the application's role, and what they store is
// understood by this version.
func TestTheVersionBeforeServesOnTheNewSchema(t *testing.T) {
	t.Parallel()
	recordings, err := filepath.Glob("testdata/schema-*.sql")
	if err != nil || len(recordings) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range recordings {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			s := open(t)
			replay(t, s, file)
			list, err := s.list(t.Context(), clusters, all, resource.Query{Deleted: true})
			if err != nil || len(list.Items) != 2 {
				t.Fatalf("this version lists %+v, %v", list.Items, err)
			}
			old, gone := list.Items[0], list.Items[1]
			if old.Name != "old" || old.Generation != 2 || gone.DeletedAt == nil {
				t.Errorf("this version reads %+v and %+v", old, gone)
			}
			for _, adapter := range required {
				report(t, s, old.ID, fleet.NewReport{AdapterName: adapter, Phase: complete})
			}
			if got := get(t, s, old.ID); got.Status.Phase != fleet.Ready {
				t.Errorf("after reports to this version: %s", got.Status.Phase)
			}
			due, err := s.Due(t.Context(), clusters, schedule.Query{})
			if err != nil || len(due.Items) != 1 || due.Items[0].ID != old.ID {
				t.Errorf("due: %+v, %v", due.Items, err)
			}
		})
	}
}

// replay runs a recording on one connection.
func replay(t *testing.T, s *Store, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.db.DB.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // back to the pool
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "--") {
			continue
		}
		if _, err := conn.ExecContext(t.Context(), line); err != nil {
			t.Fatalf("%s\nis refused: %v", line, err)
		}
		n++
	}
	if n < 50 {
		t.Errorf("only %d statements were recorded", n)
	}
}
