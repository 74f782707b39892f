package postgres

import (
	"context"
	"strings"

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
func (s *Store) Delete(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, how Removal) (fleet.Resource, error) {
	var out fleet.Resource
	var moves []move
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, owner, err := x.lockUnder(ctx, sc, id)
		if err != nil {
			return err
		}
		if how.Check != nil {
			if err := how.Check(l.Resource); err != nil {
				return err
			}
		}
		owned, err := l.lockOwned(ctx)
		if err != nil {
			return err
		}
		if names := protected(append(owned[:len(owned):len(owned)], l)); len(names) > 0 {
			return fleet.Errorf(fleet.Conflict, "deletion_protection is set on %s; take it away first", strings.Join(names, ", "))
		}
		if err := s.remove(ctx, l, owned, owner, how.Force); err != nil {
			return err
		}
		if moves, err = moved(ctx, append(owned[:len(owned):len(owned)], l)); err != nil {
			return err
		}
		out = moves[len(owned)].to
		return nil
	})
	if err != nil {
		return out, outward(ctx, "delete "+t.Kind, err)
	}
	for _, m := range moves {
		s.phaseChanged(ctx, m.to.ID, m.from, m.to.Status.Phase)
	}
	return out, nil
}

// move is what a deletion made of one resource.
type move struct {
	from fleet.Phase
	to   fleet.Resource
}

// moved reads what has become of resources since they were locked.
func moved(ctx context.Context, resources []locked) ([]move, error) {
	moves := make([]move, 0, len(resources))
	for _, l := range resources {
		to, err := l.tx.get(ctx, l.tx.info, l.row.ID)
		if err != nil {
			return nil, err
		}
		moves = append(moves, move{l.Resource.Status.Phase, to})
	}
	return moves, nil
}

// protected names what must not be deleted.
func protected(resources []locked) []string {
	var names []string
	for _, l := range resources {
		if l.row.Protected {
			names = append(names, l.title())
		}
	}
	return names
}

func (s *Store) remove(ctx context.Context, l locked, owned []locked, owner *locked, force bool) error {
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
	return s.ownedGone(ctx, *owner)
}

// bury makes tombstones of everything, whatever is left to do.
func (s *Store) bury(ctx context.Context, l locked, owned []locked) error {
	for _, one := range append(owned[:len(owned):len(owned)], l) {
		if err := one.audit(ctx, fleet.ActionForceDelete, one.begun().Generation); err != nil {
			return err
		}
		if err := s.entomb(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// start begins the deletion of everything that is not being deleted already,
// and says whether it is over for l itself. What belongs to l comes first:
// until it is gone, l is not in the schedule.
func (s *Store) start(ctx context.Context, l locked, owned []locked) (bool, error) {
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
			left = append(left, child.title())
		}
	}
	next := l.begun()
	if err := l.audit(ctx, fleet.ActionDelete, next.Generation); err != nil {
		return false, err
	}
	participants, err := s.participants(ctx, l)
	if err != nil {
		return false, err
	}
	in := s.input(l, &rollup.Deletion{Participants: participants, Owned: left})
	in.Generation = next.Generation
	worked, err := l.worked(ctx)
	if err != nil {
		return false, err
	}
	if len(left) == 0 && (!worked || rollup.Over(in)) { // nobody reported more than Pending: there is no Job
		return true, s.entomb(ctx, l)
	}
	status := rollup.Status(in)
	if err := l.tx.saveDesired(ctx, next, status, l.now); err != nil {
		return false, err
	}
	waits := len(left) > 0
	p := plan{park: &waits}
	if !waits {
		p.wakes = []wake{{l.now, fleet.Deletion}}
	}
	if l.row.Paused {
		p.base = &l.now
	}
	return false, l.tx.reschedule(ctx, l.row.ID, next.Generation, status, p)
}

// worked says whether an adapter ever reported more than Pending. The version
// before this one does not say so in the row; the history tells it.
func (l locked) worked(ctx context.Context) (bool, error) {
	if l.row.Worked {
		return true, nil
	}
	var worked bool
	err := l.tx.row(ctx, &worked, workedSQL, l.row.ID)
	return worked, err
}

// begun is the row with its deletion begun, if it was not.
func (l locked) begun() row {
	next := l.row
	if next.DeletionAt == nil {
		next.DeletionAt = &l.now
		next.Generation++
		next.Paused = false
	}
	return next
}

// entomb makes a tombstone: hidden, out of the schedule, its name free.
func (s *Store) entomb(ctx context.Context, l locked) error {
	next := l.begun()
	next.DeletedAt = &l.now
	in := s.input(l, nil)
	in.Generation, in.Deleted = next.Generation, true
	if err := l.tx.saveDesired(ctx, next, rollup.Status(in), l.now); err != nil {
		return err
	}
	return l.tx.exec(ctx, unscheduleSQL, l.row.ID)
}

// ownedGone goes on with the deletion of an owner after something of what
// belongs to it became a tombstone; with the last, the owner becomes due.
func (s *Store) ownedGone(ctx context.Context, owner locked) error {
	if !owner.Deleting() {
		return nil
	}
	in, err := s.gather(ctx, owner)
	if err != nil {
		return err
	}
	o := conclude(in)
	if len(in.Deletion.Owned) == 0 {
		stays := false
		o.plan = plan{park: &stays, base: &owner.now, wakes: []wake{{owner.now, fleet.Deletion}}}
	}
	_, err = s.settle(ctx, owner, nil, o)
	return err
}

// gather is what l's status depends on. What only a deletion depends on is read
// only then.
func (s *Store) gather(ctx context.Context, l locked) (rollup.Input, error) {
	if !l.Deleting() {
		return s.input(l, nil), nil
	}
	participants, err := s.participants(ctx, l)
	if err != nil {
		return rollup.Input{}, err
	}
	owned, err := l.ownedTitles(ctx)
	if err != nil {
		return rollup.Input{}, err
	}
	return s.input(l, &rollup.Deletion{Participants: participants, Owned: owned}), nil
}

func (s *Store) input(l locked, d *rollup.Deletion) rollup.Input {
	return rollup.Input{
		Required: s.required[l.tx.info.Type], Generation: l.row.Generation, Deletion: d,
		Adapters: l.Resource.Status.Adapters, Previous: l.Resource.Status, Now: fleet.At(l.now),
	}
}
