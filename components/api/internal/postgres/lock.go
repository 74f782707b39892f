package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// lockSQL reads the row as it is once the lock is held. The clock is read
	// outside of the locking query, because inside it may be read before.
	lockSQL = `
		WITH locked AS MATERIALIZED (
			SELECT ` + columns + ` FROM {resources}
			WHERE id = $1 AND deleted_at IS NULL AND ($2 OR tenant = ANY($3::text[])) FOR UPDATE)
		SELECT locked.*, clock_timestamp() AS now FROM locked`

	ownerSQL = `
		SELECT owner_id FROM {resources} WHERE id = $1 AND deleted_at IS NULL AND ($2 OR tenant = ANY($3::text[]))`

	lockOwnedSQL = `
		WITH locked AS MATERIALIZED (
			SELECT ` + columns + ` FROM {resources} WHERE owner_id = $1 AND deleted_at IS NULL ORDER BY id FOR UPDATE)
		SELECT locked.*, clock_timestamp() AS now FROM locked ORDER BY id`

	ownedSQL = `SELECT name FROM {resources} WHERE owner_id = $1 AND deleted_at IS NULL ORDER BY id`
)

// locked is a resource under its row's lock at a moment of the database's clock.
//
// Locks are taken from owners to what they own, and there in the order of ids,
// so that no two transactions wait for each other.
type locked struct {
	row
	fleet.Resource
	tx  *tx // over the tables of its type
	now time.Time
}

func (x *tx) locked(r row) (locked, error) {
	l := locked{row: r, tx: x, now: after(r.TouchedAt, r.Now)}
	var err error
	l.Resource, err = r.resource(x.info)
	return l, err
}

// title names a resource for people.
func (l locked) title() string { return l.Kind + " " + l.row.Name }

// lock reads a resource that is not deleted and keeps others from writing it.
func (x *tx) lock(ctx context.Context, sc Scope, id string) (locked, error) {
	if !isID(id) {
		return locked{}, notFound(x.info, id)
	}
	all, tenants := sc.args()
	var r row
	err := x.row(ctx, &r, lockSQL, id, all, tenants)
	if errors.Is(err, sql.ErrNoRows) {
		return locked{}, notFound(x.info, id)
	}
	if err != nil {
		return locked{}, err
	}
	return x.locked(r)
}

// lockUnder locks what the resource belongs to, nil if nothing, and then the
// resource itself.
func (x *tx) lockUnder(ctx context.Context, sc Scope, id string) (l locked, owner *locked, err error) {
	above, owned := x.info.Owner.Info()
	if owned && isID(id) {
		all, tenants := sc.args()
		var ownerID string
		err := x.row(ctx, &ownerID, ownerSQL, id, all, tenants)
		if errors.Is(err, sql.ErrNoRows) {
			return l, nil, notFound(x.info, id)
		}
		if err != nil {
			return l, nil, err
		}
		held, err := x.in(above).lock(ctx, AllTenants(), ownerID) // that the resource is in scope says enough
		if fleet.ErrorCode(err) == fleet.NotFound {
			return l, nil, notFound(x.info, id) // it went with its owner
		}
		if err != nil {
			return l, nil, err
		}
		owner = &held
	}
	l, err = x.lock(ctx, sc, id)
	return l, owner, err
}

// lockOwned locks all that belongs to l and is not deleted.
func (l locked) lockOwned(ctx context.Context) ([]locked, error) {
	var owned []locked
	for _, t := range l.tx.info.Type.Owned() {
		x := l.tx.in(t)
		var rows []row
		if err := x.rows(ctx, &rows, lockOwnedSQL, l.row.ID); err != nil {
			return nil, err
		}
		for _, r := range rows {
			child, err := x.locked(r)
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
func (l locked) ownedTitles(ctx context.Context) ([]string, error) {
	var titles []string
	for _, t := range l.tx.info.Type.Owned() {
		var names []string
		if err := l.tx.in(t).rows(ctx, &names, ownedSQL, l.row.ID); err != nil {
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

// underLock runs work on a resource that is not deleted, under its lock. Its
// owner is nil, and not locked, until work has asked for it by errOwnerFirst:
// almost nothing needs it, and reports on what one owner owns must not queue.
func (s *Store) underLock(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, work func(ctx context.Context, l locked, owner *locked) error) error {
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, err := x.lock(ctx, sc, id)
		if err != nil {
			return err
		}
		return work(ctx, l, nil)
	})
	if !errors.Is(err, errOwnerFirst) {
		return err
	}
	return s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, owner, err := x.lockUnder(ctx, sc, id)
		if err != nil {
			return err
		}
		return work(ctx, l, owner)
	})
}
