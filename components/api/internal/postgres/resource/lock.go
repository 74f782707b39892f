package resource

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// lockSQL reads the row as it is once the lock is held. The clock is read
	// outside of the locking query, because inside it may be read before.
	lockSQL = `
		WITH locked AS MATERIALIZED (
			SELECT ` + Columns + ` FROM {resources}
			WHERE id = $1 AND deleted_at IS NULL AND ($2 OR tenant = ANY($3::text[])) FOR UPDATE)
		SELECT locked.*, clock_timestamp() AS now FROM locked`

	ownerSQL = `
		SELECT owner_id FROM {resources} WHERE id = $1 AND deleted_at IS NULL AND ($2 OR tenant = ANY($3::text[]))`

	lockOwnedSQL = `
		WITH locked AS MATERIALIZED (
			SELECT ` + Columns + ` FROM {resources} WHERE owner_id = $1 AND deleted_at IS NULL ORDER BY id FOR UPDATE)
		SELECT locked.*, clock_timestamp() AS now FROM locked ORDER BY id`

	ownedSQL = `SELECT name FROM {resources} WHERE owner_id = $1 AND deleted_at IS NULL ORDER BY id`
)

// Locked is a resource under its row's lock at a moment of the database's clock.
//
// Locks are taken from owners to what they own, and there in the order of ids,
// so that no two transactions wait for each other.
type Locked struct {
	Row
	fleet.Resource
	Tx  *database.Tx // over the tables of its type
	Now time.Time
}

// Hold wraps a row that the transaction has locked, with the moment of its change.
func Hold(x *database.Tx, r Row) (Locked, error) {
	l := Locked{Row: r, Tx: x, Now: database.After(r.TouchedAt, r.Now)}
	var err error
	l.Resource, err = r.Resource(x.Info)
	return l, err
}

// Audit notes a write to l that leads to the given generation.
func (l Locked) Audit(ctx context.Context, did fleet.Action, after int64) error {
	return audit.Note(ctx, l.Tx, l.Now, did, audit.Subject{Tenant: l.Row.Tenant, ID: l.Row.ID, Name: l.Row.Name}, l.Row.Generation, after)
}

// Title names a resource for people.
func (l Locked) Title() string { return l.Kind + " " + l.Row.Name }

// Lock reads a resource that is not deleted and keeps others from writing it.
func Lock(ctx context.Context, x *database.Tx, sc tenant.Scope, id string) (Locked, error) {
	if !database.IsID(id) {
		return Locked{}, database.NotFound(x.Info, id)
	}
	all, tenants := sc.Predicate()
	var r Row
	err := x.Row(ctx, &r, lockSQL, id, all, tenants)
	if errors.Is(err, sql.ErrNoRows) {
		return Locked{}, database.NotFound(x.Info, id)
	}
	if err != nil {
		return Locked{}, err
	}
	return Hold(x, r)
}

// LockUnder locks what the resource belongs to, nil if nothing, and then the
// resource itself.
func LockUnder(ctx context.Context, x *database.Tx, sc tenant.Scope, id string) (l Locked, owner *Locked, err error) {
	above, owned := x.Info.Owner.Info()
	if owned && database.IsID(id) {
		all, tenants := sc.Predicate()
		var ownerID string
		err := x.Row(ctx, &ownerID, ownerSQL, id, all, tenants)
		if errors.Is(err, sql.ErrNoRows) {
			return l, nil, database.NotFound(x.Info, id)
		}
		if err != nil {
			return l, nil, err
		}
		held, err := Lock(ctx, x.In(above), tenant.All(), ownerID) // that the resource is in scope says enough
		if fleet.ErrorCode(err) == fleet.NotFound {
			return l, nil, database.NotFound(x.Info, id) // it went with its owner
		}
		if err != nil {
			return l, nil, err
		}
		owner = &held
	}
	l, err = Lock(ctx, x, sc, id)
	return l, owner, err
}

// LockOwned locks all that belongs to l and is not deleted.
func (l Locked) LockOwned(ctx context.Context) ([]Locked, error) {
	var owned []Locked
	for _, t := range l.Tx.Info.Type.Owned() {
		x := l.Tx.In(t)
		var rows []Row
		if err := x.Rows(ctx, &rows, lockOwnedSQL, l.Row.ID); err != nil {
			return nil, err
		}
		for _, r := range rows {
			child, err := Hold(x, r)
			if err != nil {
				return nil, err
			}
			owned = append(owned, child)
		}
	}
	return owned, nil
}

// ownedTitles names what belongs to l and is not deleted. Under l's lock
// nothing is added to it.
func (l Locked) ownedTitles(ctx context.Context) ([]string, error) {
	var titles []string
	for _, t := range l.Tx.Info.Type.Owned() {
		var names []string
		if err := l.Tx.In(t).Rows(ctx, &names, ownedSQL, l.Row.ID); err != nil {
			return nil, err
		}
		for _, name := range names {
			titles = append(titles, t.Kind+" "+name)
		}
	}
	return titles, nil
}

// errOwnerFirst asks for another run that locks the owner before the resource.
var errOwnerFirst = errors.New("the owner has to be locked first")

// UnderLock runs work on a resource that is not deleted, under its lock. Its
// owner is nil, and not locked, until work has asked for it by errOwnerFirst:
// almost nothing needs it, and reports on what one owner owns must not queue.
func (s *Locker) UnderLock(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, work func(ctx context.Context, l Locked, owner *Locked) error) error {
	err := s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) error {
		l, err := Lock(ctx, x, sc, id)
		if err != nil {
			return err
		}
		return work(ctx, l, nil)
	})
	if !errors.Is(err, errOwnerFirst) {
		return err
	}
	return s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) error {
		l, owner, err := LockUnder(ctx, x, sc, id)
		if err != nil {
			return err
		}
		return work(ctx, l, owner)
	})
}
