package database

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Pool is a bounded number of connections.
type Pool struct {
	DB *sqlx.DB // for what minds its connections itself

	statements *statements
	local      map[string]string // settings of a read, where the session has none of its own
	slots      chan struct{}     // one for each connection
	patience   time.Duration     // how long to wait for one
}

// Ping says whether the database answers.
func (p *Pool) Ping(ctx context.Context) error {
	if err := p.DB.PingContext(ctx); err != nil {
		return Outward(ctx, "ping the database", err)
	}
	return nil
}

// Close gives all connections back. What the server has closed already cannot
// be told goodbye.
func (p *Pool) Close() error {
	if err := p.DB.Close(); !Away(err) {
		return err
	}
	return nil
}

// Clock is the database's.
func (p *Pool) Clock(ctx context.Context) (time.Time, error) {
	var now []time.Time
	if err := p.Read(ctx, &now, clockSQL); err != nil {
		return time.Time{}, err
	}
	return now[0], nil
}

// acquire takes the right to one connection. Who waits too long is told to try
// again: a queue that only grows helps nobody.
func (p *Pool) acquire(ctx context.Context) (release func(), err error) {
	release = func() { <-p.slots }
	select {
	case p.slots <- struct{}{}:
		return release, nil
	default:
	}
	patience := time.NewTimer(p.patience)
	defer patience.Stop()
	select {
	case p.slots <- struct{}{}:
		return release, nil
	case <-patience.C:
		return nil, &fleet.Error{Code: fleet.Unavailable, Detail: "the server is busy; try again", RetryAfter: RetryAfter}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Read runs a query outside of any transaction and scans its rows into dest, a
// pointer to a slice.
func (p *Pool) Read(ctx context.Context, dest any, text string, args ...any) error {
	return p.run(ctx, text, func(ctx context.Context, stmt *sqlx.Stmt) error {
		switch {
		case len(p.local) > 0:
			return p.readLocal(ctx, dest, text, args...)
		case stmt == nil:
			return p.DB.SelectContext(ctx, dest, text, args...)
		default:
			return stmt.SelectContext(ctx, dest, args...)
		}
	})
}

// One runs a query outside of any transaction and scans the columns of its first
// row into places; sql.ErrNoRows if there is none. Looking for a column's field
// by its name, as Read does, would cost more than reading it.
func (p *Pool) One(ctx context.Context, places []any, text string, args ...any) error {
	return p.run(ctx, text, func(ctx context.Context, stmt *sqlx.Stmt) error {
		if stmt == nil {
			return p.DB.QueryRowContext(ctx, text, args...).Scan(places...)
		}
		return stmt.QueryRowContext(ctx, args...).Scan(places...)
	})
}

// Rows runs a query outside of any transaction and shows its rows to each, one
// by one, until that says to stop. It is planned for its arguments every time:
// whether an index helps depends on what a selector selects, and beside a page
// of rows a plan costs nothing.
func (p *Pool) Rows(ctx context.Context, text string, args []any, each func(*sqlx.Rows) (bool, error)) error {
	var torn error // what began is not begun again
	err := p.run(ctx, "", func(ctx context.Context, _ *sqlx.Stmt) error {
		rows, err := p.DB.QueryxContext(ctx, text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for next := true; next && rows.Next(); {
			if next, err = each(rows); err != nil || !next {
				torn = err
				return nil
			}
		}
		torn = rows.Err()
		return nil
	})
	if err != nil {
		return err
	}
	return torn
}

// Exec runs a statement outside of any transaction that answers nothing.
func (p *Pool) Exec(ctx context.Context, text string, args ...any) error {
	return p.run(ctx, text, func(ctx context.Context, stmt *sqlx.Stmt) (err error) {
		if stmt == nil {
			_, err = p.DB.ExecContext(ctx, text, args...)
		} else {
			_, err = stmt.ExecContext(ctx, args...)
		}
		return err
	})
}

// run does something once a connection may be taken, with text prepared; "" is
// not.
func (p *Pool) run(ctx context.Context, text string, once func(context.Context, *sqlx.Stmt) error) error {
	return Again(ctx, func(ctx context.Context) error {
		release, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		defer release()
		used, err := p.statements.take(ctx, text)
		if err != nil {
			return err
		}
		defer p.statements.release(used)
		return p.renewed(once(ctx, used.stmt()))
	})
}

// renewed passes err on, and lets go of connections to a server that became
// another one's standby: new ones find the one that takes writes.
func (p *Pool) renewed(err error) error {
	if demoted(err) {
		p.DB.SetMaxIdleConns(0)
		p.DB.SetMaxIdleConns(cap(p.slots))
	}
	return err
}

// readLocal reads with the settings of this pool, in a transaction of its own.
func (p *Pool) readLocal(ctx context.Context, dest any, text string, args ...any) error {
	tx, err := p.DB.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing; before, the error is returned already
	for name, value := range p.local {
		if _, err := tx.ExecContext(ctx, `SELECT set_config($1, $2, true)`, name, value); err != nil {
			return err
		}
	}
	if err := tx.SelectContext(ctx, dest, text, args...); err != nil {
		return err
	}
	return tx.Commit()
}
