package desired

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	sameSpecSQL = `SELECT spec = $2::jsonb FROM {resources} WHERE id = $1`
)

// Writer changes what users want of resources.
type Writer struct {
	db       *database.Pool
	under    *resource.Locker
	shardKey string
	log      *slog.Logger
}

// New writes to db, by the rules of under and the label that shards the fleet.
func New(db *database.Pool, under *resource.Locker, shardKey string, log *slog.Logger) *Writer {
	return &Writer{db, under, shardKey, log}
}

// State is what users may change of a resource. Nil labels are none, and a
// nil spec is an empty one.
type State struct {
	Labels    map[string]string
	Spec      json.RawMessage
	Paused    bool
	Protected bool
}

// Change gives the whole new desired state of a resource. It runs under the
// row's lock, so it is pure and quick, and may run more than once; its error is
// returned as it is.
type Change = func(fleet.Resource) (State, error)

// Check is asked under the row's lock whether a write may go on; its error is
// returned as it is. It is pure and quick, and may run more than once; nil
// lets everything go on.
type Check = func(fleet.Resource) error

// Patch changes the desired state. What changes nothing changes nothing; a new
// spec raises the generation and, like new labels and the end of a pause, makes
// the resource due. What is being deleted answers fleet.Conflict.
func (s *Writer) Patch(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, change Change) (fleet.Resource, error) {
	var out, before fleet.Resource
	err := s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) error {
		l, err := resource.Lock(ctx, x, sc, id)
		if err != nil {
			return err
		}
		before = l.Resource
		if l.Deleting() {
			return fleet.Errorf(fleet.Conflict, "%s is being deleted; it cannot change any more", l.Title())
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
		out, err = resource.Fetch(ctx, x, t, id)
		return err
	})
	if err != nil {
		return fleet.Resource{}, database.Outward(ctx, "change "+t.Kind, err)
	}
	if out.ResourceVersion != before.ResourceVersion {
		s.log.InfoContext(ctx, "changed", "cluster", id, "generation", out.Generation, "labels", out.Labels, "paused", out.Paused)
	}
	s.under.PhaseChanged(ctx, id, before.Status.Phase, out.Status.Phase)
	return out, nil
}

// maxLabels is how many labels a resource may have.
const maxLabels = 64

// inherit returns labels with the shard-key label of the owner, whose labels
// (or at least that one) are given. To set another one is fleet.Invalid.
func (s *Writer) inherit(owner, labels map[string]string, t fleet.TypeInfo) (map[string]string, error) {
	value, has := owner[s.shardKey]
	given, set := labels[s.shardKey]
	if set && (!has || given != value) {
		return nil, database.Invalid("/labels/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(s.shardKey),
			"is inherited from the %s that the %s belongs to; leave it out, or change it there", kindOf(t.Owner), t.Kind)
	}
	if !has || set {
		return labels, nil
	}
	if len(labels) >= maxLabels {
		return nil, database.Invalid("/labels", "has %d labels; with %s, which is inherited, at most %d are allowed", len(labels), s.shardKey, maxLabels)
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
func differs(ctx context.Context, x *database.Tx, r resource.Row, spec json.RawMessage) (bool, error) {
	if string(spec) == string(r.Spec) {
		return false, nil
	}
	var same bool
	err := x.Row(ctx, &same, sameSpecSQL, r.ID, database.Document(spec))
	return !same, err
}

// desire stores what differs of a new desired state.
func (s *Writer) desire(ctx context.Context, l resource.Locked, d State) error {
	respecified, err := differs(ctx, l.Tx, l.Row, d.Spec)
	if err != nil {
		return err
	}
	relabelled := !maps.Equal(d.Labels, l.Resource.Labels)
	if !respecified && !relabelled && d.Paused == l.Row.Paused && d.Protected == l.Row.Protected {
		return nil
	}
	next, status := l.Row, l.Resource.Status
	next.Paused, next.Protected = d.Paused, d.Protected
	var p schedule.Plan
	if respecified {
		next.Spec = d.Spec
		next.Generation++
		in := s.under.Input(l, nil)
		in.Generation = next.Generation
		status = rollup.Status(in)
		p.Wakes = append(p.Wakes, schedule.Wake{At: l.Now, Why: fleet.GenerationChanged})
	}
	if relabelled {
		next.Labels = json.RawMessage(resource.LabelsJSON(d.Labels))
		p.Wakes = append(p.Wakes, schedule.Wake{At: l.Now, Why: fleet.Requested})
		if err := s.relabel(ctx, l, d.Labels); err != nil {
			return err
		}
	}
	if d.Paused != l.Row.Paused {
		p.Park = &d.Paused
		if !d.Paused {
			p.Base, p.Wakes = &l.Now, append(p.Wakes, schedule.Wake{At: l.Now, Why: fleet.Requested})
		}
	}
	if err := resource.SaveDesired(ctx, l.Tx, next, status, l.Now); err != nil {
		return err
	}
	if err := l.Audit(ctx, fleet.ActionUpdate, next.Generation); err != nil {
		return err
	}
	return schedule.Move(ctx, l.Tx, l.Row.ID, next.Generation, status, p)
}

// relabel moves l in the schedule, and with a new shard key what belongs to it.
func (s *Writer) relabel(ctx context.Context, l resource.Locked, labels map[string]string) error {
	if err := schedule.Relabel(ctx, l.Tx, l.Row.ID, resource.LabelsJSON(labels), labels[s.shardKey]); err != nil {
		return err
	}
	if err := schedule.SameKey(ctx, l.Tx, s.shardKey); err != nil {
		return err
	}
	value, has := labels[s.shardKey]
	if old, had := l.Resource.Labels[s.shardKey]; has == had && value == old {
		return nil
	}
	owned, err := l.LockOwned(ctx)
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
			return fleet.Errorf(fleet.Conflict, "%s inherits %s and would have more than %d labels; take one away first", child.Title(), s.shardKey, maxLabels)
		}
		if err := follow(ctx, child, inherited, value); err != nil {
			return err
		}
	}
	return nil
}

// follow gives l labels with its owner's shard key, also while it is deleted.
func follow(ctx context.Context, l resource.Locked, labels map[string]string, shardKey string) error {
	next, status := l.Row, l.Resource.Status
	next.Labels = json.RawMessage(resource.LabelsJSON(labels))
	if err := schedule.Relabel(ctx, l.Tx, l.Row.ID, resource.LabelsJSON(labels), shardKey); err != nil {
		return err
	}
	if err := resource.SaveDesired(ctx, l.Tx, next, status, l.Now); err != nil {
		return err
	}
	if err := l.Audit(ctx, fleet.ActionUpdate, next.Generation); err != nil {
		return err
	}
	return schedule.Move(ctx, l.Tx, l.Row.ID, next.Generation, status, schedule.Plan{Wakes: []schedule.Wake{{At: l.Now, Why: fleet.Requested}}})
}
