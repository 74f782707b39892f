package database

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxStatements bounds what a pool keeps prepared: selectors of many shapes
// must not fill the server's memory. Beyond it statements run unprepared.
const maxStatements = 256

// Pool is a bounded number of connections. Its statements are prepared once;
// database/sql prepares them again on each connection that comes to use them.
type Pool struct {
	DB *sqlx.DB // for what minds its connections itself

	unprepared bool              // a pooler stands between
	local      map[string]string // settings of a read, where the session has none of its own
	slots      chan struct{}     // one for each connection
	patience   time.Duration     // how long to wait for one

	mu       sync.Mutex
	prepared map[string]kept
	wanted   map[string]bool // ran inside a transaction before they were prepared
}

// kept is a statement that lives as long as its pool; nil runs unprepared.
type kept struct{ *sqlx.Stmt }

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

func (p *Pool) find(text string) (kept, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.prepared[text], len(p.prepared) >= maxStatements
}

// findInside looks for a statement of a transaction, and has it prepared before
// the next one begins: a transaction that waited for a second connection to
// prepare on could wait for ever.
func (p *Pool) findInside(text string) kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.prepared[text]
	if found.Stmt == nil && !p.unprepared && len(p.prepared) < maxStatements {
		p.wanted[text] = true
	}
	return found
}

// prepareWanted prepares what transactions asked for. It needs a connection, so
// it must not be called by who holds one.
func (p *Pool) prepareWanted(ctx context.Context) error {
	p.mu.Lock()
	wanted := p.wanted
	p.wanted = map[string]bool{}
	p.mu.Unlock()
	for text := range wanted {
		if _, err := p.get(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// get prepares text, or keeps nothing where it has to run unprepared. It needs a
// connection, so it must not be called by who holds one.
func (p *Pool) get(ctx context.Context, text string) (kept, error) {
	found, full := p.find(text)
	if found.Stmt != nil || full || p.unprepared || text == "" {
		return found, nil
	}
	stmt, err := p.DB.PreparexContext(ctx, text)
	if err != nil {
		return kept{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.prepared[text]; other.Stmt != nil {
		defer stmt.Close() // another caller was faster
		return other, nil
	}
	p.prepared[text] = kept{stmt}
	return p.prepared[text], nil
}

// Read runs a query outside of any transaction and scans its rows into dest, a
// pointer to a slice.
func (p *Pool) Read(ctx context.Context, dest any, text string, args ...any) error {
	return p.run(ctx, text, func(ctx context.Context, stmt kept) error {
		switch {
		case p.unprepared && len(p.local) > 0:
			return p.readLocal(ctx, dest, text, args...)
		case stmt.Stmt == nil:
			return p.DB.SelectContext(ctx, dest, text, args...)
		default:
			return stmt.SelectContext(ctx, dest, args...)
		}
	})
}

// Rows runs a query outside of any transaction and shows its rows to each, one
// by one, until that says to stop. It is planned for its arguments every time:
// whether an index helps depends on what a selector selects, and beside a page
// of rows a plan costs nothing.
func (p *Pool) Rows(ctx context.Context, text string, args []any, each func(*sqlx.Rows) (bool, error)) error {
	var torn error // what began is not begun again
	err := p.run(ctx, "", func(ctx context.Context, _ kept) error {
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
	return p.run(ctx, text, func(ctx context.Context, stmt kept) (err error) {
		if stmt.Stmt == nil {
			_, err = p.DB.ExecContext(ctx, text, args...)
		} else {
			_, err = stmt.ExecContext(ctx, args...)
		}
		return err
	})
}

// run does something once a connection may be taken, with text prepared; "" is
// not.
func (p *Pool) run(ctx context.Context, text string, once func(context.Context, kept) error) error {
	return Again(ctx, func(ctx context.Context) error {
		release, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		defer release()
		stmt, err := p.get(ctx, text)
		if err != nil {
			return err
		}
		return p.renewed(once(ctx, stmt))
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
