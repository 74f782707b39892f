package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// tx is one transaction over the tables of one resource type.
type tx struct {
	*sqlx.Tx
	tables
	info       fleet.TypeInfo
	statements *statements
}

// in is the same transaction over the tables of another type of the registry.
func (x *tx) in(t fleet.TypeInfo) *tx {
	return &tx{Tx: x.Tx, tables: byType[t.Type], info: t, statements: x.statements}
}

// kin are the types whose resources a transaction on one of type t may touch.
func kin(t fleet.TypeInfo) []fleet.TypeInfo {
	types := append([]fleet.TypeInfo{t}, t.Type.Owned()...)
	if owner, ok := t.Owner.Info(); ok {
		types = append(types, owner)
	}
	return types
}

// within runs work in a transaction, again from its start where the database
// asks for that. work must therefore only write what it may write twice.
func (s *Store) within(ctx context.Context, t fleet.TypeInfo, work func(context.Context, *tx) error) error {
	names, err := of(t)
	if err != nil {
		return err
	}
	return again(ctx, func(ctx context.Context) error {
		release, err := s.statements.acquire(ctx)
		if err != nil {
			return err
		}
		defer release()
		for _, other := range kin(t) {
			if err := s.statements.prepareInside(ctx, byType[other.Type]); err != nil {
				return err
			}
		}
		began, err := s.db.BeginTxx(ctx, nil)
		if err != nil {
			return s.statements.renewed(err)
		}
		defer began.Rollback() // after Commit it does nothing; before, the error is returned already
		if err := s.statements.renewed(work(ctx, &tx{Tx: began, tables: names, info: t, statements: s.statements})); err != nil {
			return err
		}
		return began.Commit()
	})
}

// row runs a statement that answers at most one row; sql.ErrNoRows if none.
func (x *tx) row(ctx context.Context, dest any, text string, args ...any) error {
	text = x.sql(text)
	if stmt, _ := x.statements.find(text); stmt.Stmt != nil {
		return x.StmtxContext(ctx, stmt.Stmt).GetContext(ctx, dest, args...) //nolint:sqlclosecheck // closed with the transaction
	}
	return x.GetContext(ctx, dest, text, args...)
}

// rows runs a statement and scans what it answers into dest, a pointer to a slice.
func (x *tx) rows(ctx context.Context, dest any, text string, args ...any) error {
	text = x.sql(text)
	if stmt, _ := x.statements.find(text); stmt.Stmt != nil {
		return x.StmtxContext(ctx, stmt.Stmt).SelectContext(ctx, dest, args...) //nolint:sqlclosecheck // closed with the transaction
	}
	return x.SelectContext(ctx, dest, text, args...)
}

// exec runs a statement that answers nothing.
func (x *tx) exec(ctx context.Context, text string, args ...any) error {
	text = x.sql(text)
	if stmt, _ := x.statements.find(text); stmt.Stmt != nil {
		_, err := x.StmtxContext(ctx, stmt.Stmt).ExecContext(ctx, args...) // closed with the transaction
		return err
	}
	_, err := x.ExecContext(ctx, text, args...)
	return err
}
