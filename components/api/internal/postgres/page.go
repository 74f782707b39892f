package postgres

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
)

// pageTime is after how long a page ends early, so that a slow reader does not
// keep a snapshot of the database for long.
const pageTime = 5 * time.Second

// page hands rows of a statement over, one after the other, and keeps none.
type page[T any] struct {
	limit int // at most so many, fewer where time is short; the statement asks for one more
	id    func(T) string
	each  func(T) error

	last    string // id of the last that was handed over
	more    bool   // there is more than that
	refused error  // what each said
}

func (p *page[T]) walk(ctx context.Context, from *statements, text string, args []any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // or the rows after an early end would all be read
	began, n := time.Now(), 0
	return from.rows(ctx, text, args, func(rows *sqlx.Rows) (bool, error) {
		if n == p.limit || n > 0 && time.Since(began) > pageTime {
			p.more = true
			cancel()
			return false, nil
		}
		var r T
		if err := rows.StructScan(&r); err != nil {
			return false, err
		}
		n, p.last = n+1, p.id(r)
		p.refused = p.each(r)
		return true, p.refused
	})
}

// next is where the page after this one begins, "" if there is none.
func (p *page[T]) next(query string) string {
	if !p.more {
		return ""
	}
	return place{Query: query, ID: p.last}.String()
}

// outward passes an error of each on as it is.
func (p *page[T]) outward(ctx context.Context, doing string, err error) error {
	if p.refused != nil {
		return p.refused
	}
	return outward(ctx, doing, err)
}
