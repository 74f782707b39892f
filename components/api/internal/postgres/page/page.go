package page

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
)

// pageTime is after how long a page ends early, so that a slow reader does not
// keep a snapshot of the database for long.
const pageTime = 5 * time.Second

// Rows hands rows of a statement over, one after the other, and keeps none.
type Rows[T any] struct {
	Limit int // at most so many, fewer where time is short; the statement asks for one more
	ID    func(T) string
	Each  func(T) error

	last    string // id of the last that was handed over
	more    bool   // there is more than that
	refused error  // what each said
}

// Walk shows the rows of a statement one by one until the page is full, its
// time is over, or they end.
func (p *Rows[T]) Walk(ctx context.Context, from *database.Pool, text string, args []any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // or the rows after an early end would all be read
	began, n := time.Now(), 0
	return from.Rows(ctx, text, args, func(rows *sqlx.Rows) (bool, error) {
		if n == p.Limit || n > 0 && time.Since(began) > pageTime {
			p.more = true
			cancel()
			return false, nil
		}
		var r T
		if err := rows.StructScan(&r); err != nil {
			return false, err
		}
		n, p.last = n+1, p.ID(r)
		p.refused = p.Each(r)
		return true, p.refused
	})
}

// Next is where the page after this one begins, "" if there is none.
func (p *Rows[T]) Next(query string) string {
	if !p.more {
		return ""
	}
	return Place{Query: query, ID: p.last}.String()
}

// Outward passes an error of each on as it is.
func (p *Rows[T]) Outward(ctx context.Context, doing string, err error) error {
	if p.refused != nil {
		return p.refused
	}
	return database.Outward(ctx, doing, err)
}
