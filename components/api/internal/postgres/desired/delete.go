package desired

import (
	"context"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const workedSQL = `SELECT EXISTS (SELECT FROM {statuses} WHERE {subject} = $1 AND phase <> 'Pending')`

// Removal says how a resource is deleted.
type Removal struct {
	Force bool // now, whatever adapters have left to do
	Check Check
}

// Delete starts the deletion of a resource and of all that belongs to it, or
// with force ends it: what comes back is a tombstone where that has happened
// already. Deleting again starts nothing again. Protection, of the resource or
// of anything that belongs to it, is fleet.Conflict.
func (s *Writer) Delete(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, how Removal) (fleet.Resource, error) {
	var out fleet.Resource
	var moves []moved
	err := s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) error {
		l, owner, err := resource.LockUnder(ctx, x, sc, id)
		if err != nil {
			return err
		}
		if how.Check != nil {
			if err := how.Check(l.Resource); err != nil {
				return err
			}
		}
		owned, err := l.LockOwned(ctx)
		if err != nil {
			return err
		}
		if names := protected(append(owned[:len(owned):len(owned)], l)); len(names) > 0 {
			return fleet.Errorf(fleet.Conflict, "deletion_protection is set on %s; take it away first", strings.Join(names, ", "))
		}
		if err := s.remove(ctx, l, owned, owner, how.Force); err != nil {
			return err
		}
		if moves, err = outcomes(ctx, append(owned[:len(owned):len(owned)], l)); err != nil {
			return err
		}
		out = moves[len(owned)].to
		return nil
	})
	if err != nil {
		return out, database.Outward(ctx, "delete "+t.Kind, err)
	}
	for _, m := range moves {
		s.under.PhaseChanged(ctx, m.to.ID, m.from, m.to.Status.Phase)
	}
	return out, nil
}

// moved is what a deletion made of one resource.
type moved struct {
	from fleet.Phase
	to   fleet.Resource
}

// outcomes reads what has become of resources since they were locked.
func outcomes(ctx context.Context, resources []resource.Locked) ([]moved, error) {
	moves := make([]moved, 0, len(resources))
	for _, l := range resources {
		to, err := resource.Fetch(ctx, l.Tx, l.Tx.Info, l.Row.ID)
		if err != nil {
			return nil, err
		}
		moves = append(moves, moved{l.Resource.Status.Phase, to})
	}
	return moves, nil
}

// protected names what must not be deleted.
func protected(resources []resource.Locked) []string {
	var names []string
	for _, l := range resources {
		if l.Row.Protected {
			names = append(names, l.Title())
		}
	}
	return names
}

func (s *Writer) remove(ctx context.Context, l resource.Locked, owned []resource.Locked, owner *resource.Locked, force bool) error {
	gone := force
	var err error
	switch {
	case force:
		err = s.bury(ctx, l, owned)
	case !l.Deleting():
		gone, err = s.start(ctx, l, owned)
	}
	if err != nil || !gone || owner == nil {
		return err
	}
	return s.under.OwnedGone(ctx, *owner)
}

// bury makes tombstones of everything, whatever is left to do.
func (s *Writer) bury(ctx context.Context, l resource.Locked, owned []resource.Locked) error {
	for _, one := range append(owned[:len(owned):len(owned)], l) {
		if err := one.Audit(ctx, fleet.ActionForceDelete, one.Begun().Generation); err != nil {
			return err
		}
		if err := s.under.Entomb(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// start begins the deletion of everything that is not being deleted already,
// and says whether it is over for l itself. What belongs to l comes first:
// until it is gone, l is not in the schedule.
func (s *Writer) start(ctx context.Context, l resource.Locked, owned []resource.Locked) (bool, error) {
	var left []string
	for _, child := range owned {
		gone := false
		if !child.Deleting() {
			var err error
			if gone, err = s.start(ctx, child, nil); err != nil {
				return false, err
			}
		}
		if !gone {
			left = append(left, child.Title())
		}
	}
	next := l.Begun()
	if err := l.Audit(ctx, fleet.ActionDelete, next.Generation); err != nil {
		return false, err
	}
	participants, err := s.under.Registry.Participants(ctx, l.Tx, l.Tx.Info.Type, l.Resource.Status.Adapters)
	if err != nil {
		return false, err
	}
	in := s.under.Input(l, &rollup.Deletion{Participants: participants, Owned: left})
	in.Generation = next.Generation
	did, err := worked(ctx, l)
	if err != nil {
		return false, err
	}
	if len(left) == 0 && (!did || rollup.Over(in)) { // nobody reported more than Pending: there is no Job
		return true, s.under.Entomb(ctx, l)
	}
	status := rollup.Status(in)
	if err := resource.SaveDesired(ctx, l.Tx, next, status, l.Now); err != nil {
		return false, err
	}
	waits := len(left) > 0
	p := schedule.Plan{Park: &waits}
	if !waits {
		p.Wakes = []schedule.Wake{{At: l.Now, Why: fleet.Deletion}}
	}
	if l.Row.Paused {
		p.Base = &l.Now
	}
	return false, schedule.Move(ctx, l.Tx, l.Row.ID, next.Generation, status, p)
}

// worked says whether an adapter ever reported more than Pending. The version
// before this one does not say so in the row; the history tells it.
func worked(ctx context.Context, l resource.Locked) (did bool, err error) {
	if l.Row.Worked {
		return true, nil
	}
	err = l.Tx.Row(ctx, &did, workedSQL, l.Row.ID)
	return did, err
}
