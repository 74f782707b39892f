package database

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Tx is one transaction over the tables of one resource type.
type Tx struct {
	*sqlx.Tx
	Tables
	Info fleet.TypeInfo
	pool *Pool
}

// In is the same transaction over the tables of another type of the registry.
func (x *Tx) In(t fleet.TypeInfo) *Tx {
	return &Tx{Tx: x.Tx, Tables: byType[t.Type], Info: t, pool: x.pool}
}

// Within runs work in a transaction, again from its start where the database
// asks for that. work must therefore only write what it may write twice.
func (p *Pool) Within(ctx context.Context, t fleet.TypeInfo, work func(context.Context, *Tx) error) error {
	names, err := TablesFor(t)
	if err != nil {
		return err
	}
	return Again(ctx, func(ctx context.Context) error {
		release, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		defer release()
		p.statements.prepareWanted(ctx)
		began, err := p.DB.BeginTxx(ctx, nil)
		if err != nil {
			return p.renewed(err)
		}
		defer began.Rollback() // after Commit it does nothing; before, the error is returned already
		if err := p.renewed(work(ctx, &Tx{Tx: began, Tables: names, Info: t, pool: p})); err != nil {
			return err
		}
		if err := began.Commit(); err != nil {
			return err
		}
		// PostgreSQL confirms a commit too whose wait for a standby was given up.
		return ctx.Err()
	})
}

const clockSQL = `SELECT clock_timestamp()`

// Clock is the database's, now.
func (x *Tx) Clock(ctx context.Context) (now time.Time, err error) {
	err = x.Row(ctx, &now, clockSQL)
	return now, err
}

// Row runs a statement that answers at most one row; sql.ErrNoRows if none.
func (x *Tx) Row(ctx context.Context, dest any, text string, args ...any) error {
	text = x.SQL(text)
	if stmt := x.pool.statements.inside(text); stmt != nil {
		return x.StmtxContext(ctx, stmt).GetContext(ctx, dest, args...) //nolint:sqlclosecheck // closed with the transaction
	}
	return x.GetContext(ctx, dest, text, args...)
}

// Rows runs a statement and scans what it answers into dest, a pointer to a slice.
func (x *Tx) Rows(ctx context.Context, dest any, text string, args ...any) error {
	text = x.SQL(text)
	if stmt := x.pool.statements.inside(text); stmt != nil {
		return x.StmtxContext(ctx, stmt).SelectContext(ctx, dest, args...) //nolint:sqlclosecheck // closed with the transaction
	}
	return x.SelectContext(ctx, dest, text, args...)
}

// Exec runs a statement that answers nothing.
func (x *Tx) Exec(ctx context.Context, text string, args ...any) error {
	text = x.SQL(text)
	if stmt := x.pool.statements.inside(text); stmt != nil {
		_, err := x.StmtxContext(ctx, stmt).ExecContext(ctx, args...) // closed with the transaction
		return err
	}
	_, err := x.ExecContext(ctx, text, args...)
	return err
}
