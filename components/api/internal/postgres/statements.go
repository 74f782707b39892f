package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// tables are the names that differ between resource types. Statements are
// written with {resources} and so on in their place.
type tables struct {
	resources, statuses, reports, schedule string
	subject                                string // column with the id of the resource that a report is about
	names                                  *strings.Replacer
}

var byType = map[fleet.ResourceType]tables{
	fleet.Clusters: named(tables{
		resources: "clusters", statuses: "statuses", reports: "adapter_reports", schedule: "schedule", subject: "cluster_id",
	}),
	fleet.NodePools: named(tables{
		resources: "nodepools", statuses: "nodepool_statuses", reports: "nodepool_reports", schedule: "nodepool_schedule", subject: "nodepool_id",
	}),
}

// named makes the replacement once: every request asks for it.
func named(t tables) tables {
	t.names = strings.NewReplacer("{resources}", t.resources, "{statuses}", t.statuses,
		"{reports}", t.reports, "{schedule}", t.schedule, "{subject}", t.subject)
	return t
}

// of returns the tables of a resource type that the registry knows.
func of(t fleet.TypeInfo) (tables, error) {
	names, ok := byType[t.Type]
	if !ok {
		return tables{}, fmt.Errorf("resource type %q has no tables", t.Type)
	}
	return names, nil
}

// sql puts the names into a statement.
func (t tables) sql(text string) string { return t.names.Replace(text) }

// maxStatements bounds what a pool keeps prepared: selectors of many shapes
// must not fill the server's memory. Beyond it statements run unprepared.
const maxStatements = 256

// statements are prepared once per pool; database/sql prepares them again on
// each connection that comes to use them.
type statements struct {
	db         *sqlx.DB
	unprepared bool              // a pooler stands between
	local      map[string]string // settings of a read, where the session has none of its own
	slots      chan struct{}     // one for each connection
	patience   time.Duration     // how long to wait for one

	mu       sync.Mutex
	prepared map[string]kept
	ready    map[tables]bool // whose transactions are prepared
}

// kept is a statement that lives as long as its pool; nil runs unprepared.
type kept struct{ *sqlx.Stmt }

func newStatements(db *sqlx.DB, c Config) *statements {
	return &statements{
		db: db, unprepared: c.Pooler, slots: make(chan struct{}, db.Stats().MaxOpenConnections), patience: c.Acquire,
		prepared: map[string]kept{}, ready: map[tables]bool{},
	}
}

// acquire takes the right to one connection. Who waits too long is told to try
// again: a queue that only grows helps nobody.
func (p *statements) acquire(ctx context.Context) (release func(), err error) {
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
		return nil, &fleet.Error{Code: fleet.Unavailable, Detail: "the server is busy; try again", RetryAfter: retryAfter}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *statements) find(text string) (kept, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.prepared[text], len(p.prepared) >= maxStatements
}

// get prepares text, or keeps nothing where it has to run unprepared. It needs a
// connection, so it must not be called by who holds one.
func (p *statements) get(ctx context.Context, text string) (kept, error) {
	found, full := p.find(text)
	if found.Stmt != nil || full || p.unprepared || text == "" {
		return found, nil
	}
	stmt, err := p.db.PreparexContext(ctx, text)
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

// read runs a query outside of any transaction and scans its rows into dest, a
// pointer to a slice.
func (p *statements) read(ctx context.Context, dest any, text string, args ...any) error {
	return p.run(ctx, text, func(ctx context.Context, stmt kept) error {
		switch {
		case p.unprepared && len(p.local) > 0:
			return p.readLocal(ctx, dest, text, args...)
		case stmt.Stmt == nil:
			return p.db.SelectContext(ctx, dest, text, args...)
		default:
			return stmt.SelectContext(ctx, dest, args...)
		}
	})
}

// rows runs a query outside of any transaction and shows its rows to each, one
// by one, until that says to stop. It is planned for its arguments every time:
// whether an index helps depends on what a selector selects, and beside a page
// of rows a plan costs nothing.
func (p *statements) rows(ctx context.Context, text string, args []any, each func(*sqlx.Rows) (bool, error)) error {
	var torn error // what began is not begun again
	err := p.run(ctx, "", func(ctx context.Context, _ kept) error {
		rows, err := p.db.QueryxContext(ctx, text, args...)
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

// exec runs a statement outside of any transaction that answers nothing.
func (p *statements) exec(ctx context.Context, text string, args ...any) error {
	return p.run(ctx, text, func(ctx context.Context, stmt kept) (err error) {
		if stmt.Stmt == nil {
			_, err = p.db.ExecContext(ctx, text, args...)
		} else {
			_, err = stmt.ExecContext(ctx, args...)
		}
		return err
	})
}

// run does something once a connection may be taken, with text prepared; "" is
// not.
func (p *statements) run(ctx context.Context, text string, once func(context.Context, kept) error) error {
	return again(ctx, func(ctx context.Context) error {
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
func (p *statements) renewed(err error) error {
	if demoted(err) {
		p.db.SetMaxIdleConns(0)
		p.db.SetMaxIdleConns(cap(p.slots))
	}
	return err
}

// readLocal reads with the settings of this pool, in a transaction of its own.
func (p *statements) readLocal(ctx context.Context, dest any, text string, args ...any) error {
	tx, err := p.db.BeginTxx(ctx, nil)
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

// inside lists the statements of transactions. They are prepared before a
// transaction begins: one that waited for a second connection to prepare on
// could wait for ever.
var inside = []string{
	clockSQL, insertSQL, insertScheduleSQL, lockSQL, ownerSQL, lockOwnedSQL, ownedSQL, getSQL, sameSpecSQL, saveDesiredSQL,
	saveStatusSQL, touchSQL, scheduleSQL, moveSQL, unscheduleSQL, latestSQL, olderSQL, insertReportSQL, foldSQL, upsertReportSQL,
	lockManySQL, latestManySQL, saveManySQL,
	tenantSQL, knownSQL, claimKeySQL, answeredSQL, keepAnswerSQL, lockCoverageSQL, keepCoverageSQL, auditSQL, workedSQL, shardKeySQL, lockAdaptersSQL, everySQL, registerSQL,
}

func (p *statements) prepareInside(ctx context.Context, t tables) error {
	p.mu.Lock()
	ready := p.ready[t]
	p.mu.Unlock()
	if ready || p.unprepared {
		return nil
	}
	for _, text := range inside {
		if _, err := p.get(ctx, t.sql(text)); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready[t] = true
	return nil
}
