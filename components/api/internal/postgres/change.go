package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
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

	sameSpecSQL = `SELECT spec = $2::jsonb FROM {resources} WHERE id = $1`

	saveDesiredSQL = `
		UPDATE {resources} SET spec = $2, labels = $3, status = $4, generation = $5, deleted_at = $6,
			desired_version = desired_version + 1, updated_at = $7, touched_at = $7
		WHERE id = $1`

	saveStatusSQL = `
		UPDATE {resources} SET status = $2, reports_version = reports_version + 1, touched_at = $3 WHERE id = $1`

	touchSQL = `UPDATE {resources} SET touched_at = $2 WHERE id = $1`

	// scheduleSQL: of two wake-ups the earlier stays; every one counts.
	scheduleSQL = `
		UPDATE {schedule} SET ready = $2, phase = $3, generation = $4, transitioned_at = $5,
			base = coalesce($6::timestamptz, base), repeat = CASE WHEN $6::timestamptz IS NULL THEN repeat ELSE 0 END,
			wakes = wakes + $7, wake_at = least(wake_at, $8::timestamptz),
			wake_reason = CASE WHEN $8::timestamptz < coalesce(wake_at, 'infinity') THEN $9 ELSE wake_reason END
		WHERE id = $1`

	moveSQL = `UPDATE {schedule} SET labels = $2, shard_key = $3 WHERE id = $1`

	unscheduleSQL = `DELETE FROM {schedule} WHERE id = $1`
)

// Change gives the whole new labels and spec of a resource; nil labels are
// none, and a nil spec is an empty one. It runs under the row's lock, so it is
// pure and quick, and may run more than once; its error is returned as it is.
type Change = func(fleet.Resource) (labels map[string]string, spec json.RawMessage, err error)

// Check is asked under the row's lock whether a write may go on; its error is
// returned as it is. It is pure and quick, and may run more than once; nil
// lets everything go on.
type Check = func(fleet.Resource) error

// wake is a moment from which on a resource is due, and why.
type wake struct {
	at  time.Time
	why fleet.Reason
}

// locked is a resource under its row's lock at a moment of the database's clock.
type locked struct {
	row
	fleet.Resource
	now time.Time
}

// lock reads a resource that is not deleted and keeps others from writing it.
func (x *tx) lock(ctx context.Context, t fleet.TypeInfo, sc Scope, id string) (locked, error) {
	var l locked
	if !isID(id) {
		return l, notFound(t, id)
	}
	all, tenants := sc.args()
	err := x.row(ctx, &l.row, lockSQL, id, all, tenants)
	if errors.Is(err, sql.ErrNoRows) {
		return l, notFound(t, id)
	}
	if err != nil {
		return l, err
	}
	l.now = after(l.TouchedAt, l.row.Now)
	l.Resource, err = l.row.resource(t)
	return l, err
}

// reschedule follows a change of the resource; base is set by reports only.
func (x *tx) reschedule(ctx context.Context, id string, generation int64, s fleet.Status, base *time.Time, wakes []wake) error {
	var first wake
	for _, w := range wakes {
		if first.at.IsZero() || w.at.Before(first.at) {
			first = w
		}
	}
	var at *time.Time
	if len(wakes) > 0 {
		at = &first.at
	}
	return x.exec(ctx, scheduleSQL, id, s.Phase == fleet.Ready, string(s.Phase), generation, s.LastTransitionTime.Time,
		base, len(wakes), at, string(first.why))
}

// Patch changes labels and spec. What changes nothing changes nothing; a new
// spec raises the generation and, like new labels, makes the resource due.
func (s *Store) Patch(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, change Change) (fleet.Resource, error) {
	var out fleet.Resource
	var before fleet.Phase
	var respecified, relabelled bool
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, err := x.lock(ctx, t, sc, id)
		if err != nil {
			return err
		}
		before = l.Resource.Status.Phase
		labels, spec, err := change(l.Resource)
		if err != nil {
			return err
		}
		relabelled = !maps.Equal(labels, l.Resource.Labels)
		if respecified, err = x.differs(ctx, l.row, spec); err != nil {
			return err
		}
		if err := s.desire(ctx, x, t, l, labels, spec, relabelled, respecified); err != nil {
			return err
		}
		out, err = x.get(ctx, t, id)
		return err
	})
	if err != nil {
		return fleet.Resource{}, outward(ctx, "change "+t.Kind, err)
	}
	if respecified {
		s.log.InfoContext(ctx, "spec changed", "cluster", id, "generation", out.Generation)
	}
	if relabelled {
		s.log.InfoContext(ctx, "labels changed", "cluster", id)
	}
	s.phaseChanged(ctx, id, before, out.Status.Phase)
	return out, nil
}

// differs asks PostgreSQL, because spelling and order of keys mean nothing.
func (x *tx) differs(ctx context.Context, r row, spec json.RawMessage) (bool, error) {
	if string(spec) == string(r.Spec) {
		return false, nil
	}
	var same bool
	err := x.row(ctx, &same, sameSpecSQL, r.ID, document(spec))
	return !same, err
}

// desire stores new labels, a new spec, or both.
func (s *Store) desire(ctx context.Context, x *tx, t fleet.TypeInfo, l locked, labels map[string]string, spec json.RawMessage, relabelled, respecified bool) error {
	if !relabelled && !respecified {
		return nil
	}
	generation, status := l.row.Generation, l.Resource.Status
	var wakes []wake
	if respecified {
		generation++
		status = rollup.Status(rollup.Input{
			Required: s.required[t.Type], Generation: generation, Adapters: status.Adapters, Previous: status, Now: fleet.At(l.now),
		})
		wakes = append(wakes, wake{l.now, fleet.GenerationChanged})
	}
	if relabelled {
		wakes = append(wakes, wake{l.now, fleet.Requested})
		if err := x.exec(ctx, moveSQL, l.row.ID, labelsJSON(labels), labels[s.shardKey]); err != nil {
			return err
		}
	}
	if err := x.exec(ctx, saveDesiredSQL, l.row.ID, document(spec), labelsJSON(labels), statusJSON(status), generation, nil, l.now); err != nil {
		return err
	}
	return x.reschedule(ctx, l.row.ID, generation, status, nil, wakes)
}

// Delete makes a tombstone: hidden, out of the schedule, its name free.
func (s *Store) Delete(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, check Check) error {
	var before fleet.Phase
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, err := x.lock(ctx, t, sc, id)
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(l.Resource); err != nil {
				return err
			}
		}
		before = l.Resource.Status.Phase
		generation := l.row.Generation + 1
		status := rollup.Status(rollup.Input{
			Required: s.required[t.Type], Generation: generation, Deleted: true,
			Adapters: l.Resource.Status.Adapters, Previous: l.Resource.Status, Now: fleet.At(l.now),
		})
		err = x.exec(ctx, saveDesiredSQL, id, document(l.row.Spec), string(l.row.Labels), statusJSON(status), generation, &l.now, l.now)
		if err != nil {
			return err
		}
		return x.exec(ctx, unscheduleSQL, id)
	})
	if err != nil {
		return outward(ctx, "delete "+t.Kind, err)
	}
	s.log.InfoContext(ctx, "deleted", "cluster", id)
	s.phaseChanged(ctx, id, before, fleet.Deleted)
	return nil
}

func (s *Store) phaseChanged(ctx context.Context, id string, from, to fleet.Phase) {
	if from != to {
		s.log.InfoContext(ctx, "phase changed", "cluster", id, "from", string(from), "to", string(to))
	}
}
