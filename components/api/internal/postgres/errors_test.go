package postgres

import (
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// A standby that a fail-over has not replaced yet answers reads and no writes.
func TestADatabaseThatOnlyReadsIsUnavailable(t *testing.T) {
	t.Parallel()
	s := open(t)
	create(t, s, "a", nil)
	due, err := s.Due(t.Context(), clusters, schedule.Query{Backoff: fleet.Backoff{NotReady: time.Hour, Ready: time.Hour}})
	if err != nil || len(due.Items) != 1 {
		t.Fatalf("due: %d, %v", len(due.Items), err)
	}
	const readOnly = `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`
	if _, err := asOwner(t, s).ExecContext(t.Context(), readOnly); err != nil {
		t.Fatal(err)
	}
	s.db.DB.SetMaxIdleConns(-1) // the setting holds for new connections
	wantCode(t, s.Published(t.Context(), clusters, []string{due.Items[0].Token}, fleet.Backoff{}), fleet.Unavailable)
	if list, err := s.list(t.Context(), clusters, all, resource.Query{}); err != nil || len(list.Items) != 1 {
		t.Errorf("list: %d, %v", len(list.Items), err)
	}
}

func TestWhatIsNotTheRequestsFaultIsUnavailable(t *testing.T) {
	t.Parallel()
	for code, want := range map[pqerror.Code]fleet.Code{
		pqerror.FeatureNotSupported: fleet.Unavailable, // a standby's answer to BEGIN READ WRITE
		pqerror.IOError:             fleet.Unavailable,
		pqerror.DiskFull:            fleet.Unavailable,
		pqerror.AdminShutdown:       fleet.Unavailable,
		pqerror.UndefinedTable:      fleet.Internal,
		pqerror.SyntaxError:         fleet.Internal,
	} {
		if got := fleet.ErrorCode(database.Outward(t.Context(), "test", &pq.Error{Code: code})); got != want {
			t.Errorf("%s is %s, want %s", code, got, want)
		}
	}
}
