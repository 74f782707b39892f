package database

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestMain(m *testing.M) { pgdev.Main(m) }

var clusters = fleet.Types()[0]

func openPool(t *testing.T, size int) *Pool {
	t.Helper()
	p, err := Origin{URL: pgdev.Database(t)}.Open(size, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// preparedOf are the texts that the only connection of p has prepared.
func preparedOf(t *testing.T, p *Pool) string {
	t.Helper()
	var texts []string
	if err := p.DB.SelectContext(t.Context(), &texts, `SELECT statement FROM pg_prepared_statements`); err != nil {
		t.Fatal(err)
	}
	return "\n" + strings.Join(texts, "\n") + "\n"
}

func shape(n int) string { return fmt.Sprintf("SELECT %d + $1::int", n) }

func ask(ctx context.Context, p *Pool, n int) error {
	var sum []int
	if err := p.Read(ctx, &sum, shape(n), 1); err != nil {
		return err
	}
	if len(sum) != 1 || sum[0] != n+1 {
		return fmt.Errorf("%s answered %v", shape(n), sum)
	}
	return nil
}

func askInside(ctx context.Context, p *Pool, n int) error {
	return p.Within(ctx, clusters, func(ctx context.Context, x *Tx) error {
		var sum int
		if err := x.Row(ctx, &sum, shape(n), 1); err != nil {
			return err
		}
		if sum != n+1 {
			return fmt.Errorf("%s answered %d", shape(n), sum)
		}
		return nil
	})
}

// TestWhatATransactionRunsIsPreparedForTheNext: with one connection in all, so
// that a transaction which prepared on a second one would wait for ever.
func TestWhatATransactionRunsIsPreparedForTheNext(t *testing.T) {
	t.Parallel()
	p := openPool(t, 1)
	for _, want := range []bool{false, true, true} {
		if err := askInside(t.Context(), p, 7); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(preparedOf(t, p), "\n"+shape(7)+"\n"); got != want {
			t.Errorf("prepared is %t, want %t: %s", got, want, preparedOf(t, p))
		}
	}
}

func TestWhatCannotBePreparedHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	p := openPool(t, 1)
	for range 2 {
		if err := p.Within(t.Context(), clusters, func(ctx context.Context, x *Tx) error {
			return x.Exec(ctx, `DELETE FROM nowhere`)
		}); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Fatalf("said %v", err)
		}
		if err := askInside(t.Context(), p, 1); err != nil {
			t.Errorf("the next transaction: %v", err)
		}
	}
}

func TestWhatWasUsedLongestAgoIsNoLongerPrepared(t *testing.T) {
	t.Parallel()
	p := openPool(t, 1)
	const hot, last = 0, maxStatements + 50
	for n := 1; n <= last; n++ {
		for _, m := range []int{hot, n} {
			if err := ask(t.Context(), p, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	prepared := preparedOf(t, p)
	if n := strings.Count(prepared, "::int\n"); n != maxStatements {
		t.Errorf("%d statements are prepared, want %d", n, maxStatements)
	}
	for n, want := range map[int]bool{hot: true, 1: false, last - maxStatements + 1: false, last - maxStatements + 2: true, last: true} {
		if got := strings.Contains(prepared, "\n"+shape(n)+"\n"); got != want {
			t.Errorf("%q prepared is %t, want %t", shape(n), got, want)
		}
	}
	if err := ask(t.Context(), p, 1); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestNoStatementGoesWhileItIsUsed: many shapes push one another out while
// others are about to run them.
func TestNoStatementGoesWhileItIsUsed(t *testing.T) {
	t.Parallel()
	p := openPool(t, 4)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 400 * fleettest.Rounds(t) {
				f := ask
				if rand.IntN(2) == 0 {
					f = askInside
				}
				if err := f(t.Context(), p, rand.IntN(maxStatements*3/2)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
