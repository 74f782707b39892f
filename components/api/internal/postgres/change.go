package postgres

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	sameSpecSQL = `SELECT spec = $2::jsonb FROM {resources} WHERE id = $1`

	saveDesiredSQL = `
		UPDATE {resources} SET spec = $2, labels = $3, status = $4, generation = $5, paused = $6, deletion_protection = $7,
			deletion_at = $8, deleted_at = $9, desired_version = desired_version + 1, updated_at = $10, touched_at = $10
		WHERE id = $1`

	saveStatusSQL = `
		UPDATE {resources} SET status = $2, reports_version = reports_version + 1, touched_at = $3, worked = worked OR $4
		WHERE id = $1`

	touchSQL = `UPDATE {resources} SET touched_at = $2 WHERE id = $1`
)

// Desired is what users may change of a resource. Nil labels are none, and a
// nil spec is an empty one.
type Desired struct {
	Labels    map[string]string
	Spec      json.RawMessage
	Paused    bool
	Protected bool
}

// Change gives the whole new desired state of a resource. It runs under the
// row's lock, so it is pure and quick, and may run more than once; its error is
// returned as it is.
type Change = func(fleet.Resource) (Desired, error)

// Check is asked under the row's lock whether a write may go on; its error is
// returned as it is. It is pure and quick, and may run more than once; nil
// lets everything go on.
type Check = func(fleet.Resource) error

// saveDesired stores r's desired state and deletion, with the status that goes
// with it.
func (x *tx) saveDesired(ctx context.Context, r row, s fleet.Status, now time.Time) error {
	return x.exec(ctx, saveDesiredSQL, r.ID, document(r.Spec), string(r.Labels), statusJSON(s), r.Generation,
		r.Paused, r.Protected, r.DeletionAt, r.DeletedAt, now)
}

// Patch changes the desired state. What changes nothing changes nothing; a new
// spec raises the generation and, like new labels and the end of a pause, makes
// the resource due. What is being deleted answers fleet.Conflict.
func (s *Store) Patch(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, change Change) (fleet.Resource, error) {
	var out, before fleet.Resource
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, err := x.lock(ctx, sc, id)
		if err != nil {
			return err
		}
		before = l.Resource
		if l.Deleting() {
			return fleet.Errorf(fleet.Conflict, "%s is being deleted; it cannot change any more", l.title())
		}
		next, err := change(l.Resource)
		if err != nil {
			return err
		}
		if t.Owner != "" {
			if next.Labels, err = s.inherit(l.Resource.Labels, next.Labels, t); err != nil {
				return err
			}
		}
		if err := s.desire(ctx, l, next); err != nil {
			return err
		}
		out, err = x.get(ctx, t, id)
		return err
	})
	if err != nil {
		return fleet.Resource{}, outward(ctx, "change "+t.Kind, err)
	}
	if out.ResourceVersion != before.ResourceVersion {
		s.log.InfoContext(ctx, "changed", "cluster", id, "generation", out.Generation, "labels", out.Labels, "paused", out.Paused)
	}
	s.phaseChanged(ctx, id, before.Status.Phase, out.Status.Phase)
	return out, nil
}

// maxLabels is how many labels a resource may have.
const maxLabels = 64

// inherit returns labels with the shard-key label of the owner, whose labels
// (or at least that one) are given. To set another one is fleet.Invalid.
func (s *Store) inherit(owner, labels map[string]string, t fleet.TypeInfo) (map[string]string, error) {
	value, has := owner[s.shardKey]
	given, set := labels[s.shardKey]
	if set && (!has || given != value) {
		return nil, invalid("/labels/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(s.shardKey),
			"is inherited from the %s that the %s belongs to; leave it out, or change it there", kindOf(t.Owner), t.Kind)
	}
	if !has || set {
		return labels, nil
	}
	if len(labels) >= maxLabels {
		return nil, invalid("/labels", "has %d labels; with %s, which is inherited, at most %d are allowed", len(labels), s.shardKey, maxLabels)
	}
	out := map[string]string{s.shardKey: value}
	maps.Copy(out, labels)
	return out, nil
}

func kindOf(t fleet.ResourceType) string {
	info, _ := t.Info()
	return info.Kind
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

// desire stores what differs of a new desired state.
func (s *Store) desire(ctx context.Context, l locked, d Desired) error {
	respecified, err := l.tx.differs(ctx, l.row, d.Spec)
	if err != nil {
		return err
	}
	relabelled := !maps.Equal(d.Labels, l.Resource.Labels)
	if !respecified && !relabelled && d.Paused == l.row.Paused && d.Protected == l.row.Protected {
		return nil
	}
	next, status := l.row, l.Resource.Status
	next.Paused, next.Protected = d.Paused, d.Protected
	var p plan
	if respecified {
		next.Spec = d.Spec
		next.Generation++
		in := s.input(l, nil)
		in.Generation = next.Generation
		status = rollup.Status(in)
		p.wakes = append(p.wakes, wake{l.now, fleet.GenerationChanged})
	}
	if relabelled {
		next.Labels = json.RawMessage(labelsJSON(d.Labels))
		p.wakes = append(p.wakes, wake{l.now, fleet.Requested})
		if err := s.relabel(ctx, l, d.Labels); err != nil {
			return err
		}
	}
	if d.Paused != l.row.Paused {
		p.park = &d.Paused
		if !d.Paused {
			p.base, p.wakes = &l.now, append(p.wakes, wake{l.now, fleet.Requested})
		}
	}
	if err := l.tx.saveDesired(ctx, next, status, l.now); err != nil {
		return err
	}
	if err := l.audit(ctx, fleet.ActionUpdate, next.Generation); err != nil {
		return err
	}
	return l.tx.reschedule(ctx, l.row.ID, next.Generation, status, p)
}

// relabel moves l in the schedule, and with a new shard key what belongs to it.
func (s *Store) relabel(ctx context.Context, l locked, labels map[string]string) error {
	if err := l.tx.exec(ctx, moveSQL, l.row.ID, labelsJSON(labels), labels[s.shardKey]); err != nil {
		return err
	}
	if err := s.sameKey(ctx, l.tx); err != nil {
		return err
	}
	value, has := labels[s.shardKey]
	if old, had := l.Resource.Labels[s.shardKey]; has == had && value == old {
		return nil
	}
	owned, err := l.lockOwned(ctx)
	if err != nil {
		return err
	}
	for _, child := range owned {
		inherited := maps.Clone(child.Resource.Labels)
		delete(inherited, s.shardKey)
		if has {
			inherited[s.shardKey] = value
		}
		if len(inherited) > maxLabels {
			return fleet.Errorf(fleet.Conflict, "%s inherits %s and would have more than %d labels; take one away first", child.title(), s.shardKey, maxLabels)
		}
		if err := child.follow(ctx, inherited, value); err != nil {
			return err
		}
	}
	return nil
}

// follow gives l labels with its owner's shard key, also while it is deleted.
func (l locked) follow(ctx context.Context, labels map[string]string, shardKey string) error {
	next, status := l.row, l.Resource.Status
	next.Labels = json.RawMessage(labelsJSON(labels))
	if err := l.tx.exec(ctx, moveSQL, l.row.ID, labelsJSON(labels), shardKey); err != nil {
		return err
	}
	if err := l.tx.saveDesired(ctx, next, status, l.now); err != nil {
		return err
	}
	if err := l.audit(ctx, fleet.ActionUpdate, next.Generation); err != nil {
		return err
	}
	return l.tx.reschedule(ctx, l.row.ID, next.Generation, status, plan{wakes: []wake{{l.now, fleet.Requested}}})
}

func (s *Store) phaseChanged(ctx context.Context, id string, from, to fleet.Phase) {
	if from != to {
		s.log.InfoContext(ctx, "phase changed", "cluster", id, "from", string(from), "to", string(to))
	}
}
