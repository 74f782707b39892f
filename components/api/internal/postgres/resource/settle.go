package resource

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	saveDesiredSQL = `
		UPDATE {resources} SET spec = $2, labels = $3, status = $4, generation = $5, paused = $6, deletion_protection = $7,
			deletion_at = $8, deleted_at = $9, desired_version = desired_version + 1, updated_at = $10, touched_at = $10
		WHERE id = $1`

	// SaveStatusSQL stores a status and the moment of its change.
	SaveStatusSQL = `
		UPDATE {resources} SET status = $2, reports_version = reports_version + 1, touched_at = $3, worked = worked OR $4
		WHERE id = $1`

	// TouchSQL stores the moment of a change alone.
	TouchSQL = `UPDATE {resources} SET touched_at = $2 WHERE id = $1`
)

// Locker is what every write to a resource under its lock has in common: what
// its status depends on, and the end of its deletion.
type Locker struct {
	db       *database.Pool
	Registry *registry.Registry
	Required map[fleet.ResourceType][]string
	log      *slog.Logger
}

// NewLocker counts those of registry, and the required, among a deletion's participants.
func NewLocker(db *database.Pool, registry *registry.Registry, required map[fleet.ResourceType][]string, log *slog.Logger) *Locker {
	return &Locker{db, registry, required, log}
}

// Outcome is what a resource becomes: writes, as data.
type Outcome struct {
	Status fleet.Status
	Worked bool // a report says more than Pending
	Plan   schedule.Plan
	Over   bool // its deletion is over
}

// Conclude is what a resource becomes where nothing wakes it.
func Conclude(in rollup.Input) Outcome {
	return Outcome{Status: rollup.Status(in), Over: rollup.Over(in)}
}

// SaveDesired stores r's desired state and deletion, with the status that goes
// with it.
func SaveDesired(ctx context.Context, x *database.Tx, r Row, s fleet.Status, now time.Time) error {
	return x.Exec(ctx, saveDesiredSQL, r.ID, database.Document(r.Spec), string(r.Labels), StatusJSON(s), r.Generation,
		r.Paused, r.Protected, r.DeletionAt, r.DeletedAt, now)
}

// Settle stores what reports, a correction or a new configuration make of a
// resource, and ends its deletion where that is over.
func (s *Locker) Settle(ctx context.Context, l Locked, owner *Locked, o Outcome) (fleet.Phase, error) {
	if o.Over && owner == nil && l.Tx.Info.Owner != "" {
		return "", errOwnerFirst
	}
	if err := l.Tx.Exec(ctx, SaveStatusSQL, l.Row.ID, StatusJSON(o.Status), l.Now, o.Worked); err != nil {
		return "", err
	}
	if !o.Over {
		return o.Status.Phase, schedule.Move(ctx, l.Tx, l.Row.ID, l.Row.Generation, o.Status, o.Plan)
	}
	l.Resource.Status = o.Status
	if err := s.Entomb(ctx, l); err != nil {
		return "", err
	}
	if owner == nil {
		return fleet.Deleted, nil
	}
	return fleet.Deleted, s.OwnedGone(ctx, *owner)
}

// Begun is the row with its deletion begun, if it was not.
func (l Locked) Begun() Row {
	next := l.Row
	if next.DeletionAt == nil {
		next.DeletionAt = &l.Now
		next.Generation++
		next.Paused = false
	}
	return next
}

// Entomb makes a tombstone: hidden, out of the schedule, its name free.
func (s *Locker) Entomb(ctx context.Context, l Locked) error {
	next := l.Begun()
	next.DeletedAt = &l.Now
	in := s.Input(l, nil)
	in.Generation, in.Deleted = next.Generation, true
	if err := SaveDesired(ctx, l.Tx, next, rollup.Status(in), l.Now); err != nil {
		return err
	}
	return schedule.Leave(ctx, l.Tx, l.Row.ID)
}

// OwnedGone goes on with the deletion of an owner after something of what
// belongs to it became a tombstone; with the last, the owner becomes due.
func (s *Locker) OwnedGone(ctx context.Context, owner Locked) error {
	if !owner.Deleting() {
		return nil
	}
	in, err := s.Gather(ctx, owner)
	if err != nil {
		return err
	}
	o := Conclude(in)
	if len(in.Deletion.Owned) == 0 {
		stays := false
		o.Plan = schedule.Plan{Park: &stays, Base: &owner.Now, Wakes: []schedule.Wake{{At: owner.Now, Why: fleet.Deletion}}}
	}
	_, err = s.Settle(ctx, owner, nil, o)
	return err
}

// Gather is what l's status depends on. What only a deletion depends on is read
// only then.
func (s *Locker) Gather(ctx context.Context, l Locked) (rollup.Input, error) {
	if !l.Deleting() {
		return s.Input(l, nil), nil
	}
	participants, err := s.Registry.Participants(ctx, l.Tx, l.Tx.Info.Type, l.Resource.Status.Adapters)
	if err != nil {
		return rollup.Input{}, err
	}
	owned, err := l.ownedTitles(ctx)
	if err != nil {
		return rollup.Input{}, err
	}
	return s.Input(l, &rollup.Deletion{Participants: participants, Owned: owned}), nil
}

// Input is what the roll-up judges a locked resource by; d is nil unless it is deleted.
func (s *Locker) Input(l Locked, d *rollup.Deletion) rollup.Input {
	return rollup.Input{
		Required: s.Required[l.Tx.Info.Type], Generation: l.Row.Generation, Deletion: d,
		Adapters: l.Resource.Status.Adapters, Previous: l.Resource.Status, Now: fleet.At(l.Now),
	}
}

// PhaseChanged logs a change of phase once it is stored.
func (s *Locker) PhaseChanged(ctx context.Context, id string, from, to fleet.Phase) {
	if from != to {
		s.log.InfoContext(ctx, "phase changed", "cluster", id, "from", string(from), "to", string(to))
	}
}

// Alike says whether two roll-ups of the same reports say the same.
func Alike(a, b fleet.Status) bool {
	return a.Phase == b.Phase && a.ObservedGeneration == b.ObservedGeneration && slices.EqualFunc(a.Conditions, b.Conditions,
		func(a, b fleet.Condition) bool {
			return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
		})
}
