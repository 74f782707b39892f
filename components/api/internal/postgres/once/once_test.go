package once

import (
	"log/slog"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/migration"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestMain(m *testing.M) { pgdev.Main(m) }

// TestExpiredKeysGoInBatches: no statement removes more than a thousand, and all
// of them go.
func TestExpiredKeysGoInBatches(t *testing.T) {
	t.Parallel()
	from := database.Origin{URL: pgdev.Database(t)}
	db, err := from.Open(2, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := migration.New(db, from, "", "region", slog.New(slog.DiscardHandler)).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	expire := func(n int) {
		t.Helper()
		if err := db.Exec(t.Context(), `INSERT INTO idempotency_keys (tenant, principal, route, key, request, expires_at)
			SELECT 't', 'p', 'r', n::text, '', now() - interval '1 second' FROM generate_series(1, $1::int) n`, n); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		t.Helper()
		var n []int
		if err := db.Read(t.Context(), &n, `SELECT count(*) FROM idempotency_keys`); err != nil {
			t.Fatal(err)
		}
		return n[0]
	}
	expire(expiredKeys + 500)
	for _, want := range []struct {
		more bool
		left int
	}{{true, 500}, {false, 0}} {
		if more, err := dropExpired(t.Context(), db); more != want.more || err != nil || left() != want.left {
			t.Errorf("a batch says that there is more: %t, %v, and leaves %d; want %+v", more, err, left(), want)
		}
	}
	expire(2*expiredKeys + 1)
	if err := Drop(t.Context(), db); err != nil || left() != 0 {
		t.Errorf("%d keys are left: %v", left(), err)
	}
}
