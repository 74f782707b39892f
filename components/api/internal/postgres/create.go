package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	clockSQL = `SELECT clock_timestamp()`

	insertSQL = `
		INSERT INTO {resources} (` + columns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false, 1, 1, 0, $10, $10, NULL, NULL, $10) RETURNING ` + columns

	insertScheduleSQL = `
		INSERT INTO {schedule} (id, shard_key, ready, base, wake_at, wake_reason, wakes, repeat, generation, phase, transitioned_at, labels)
		VALUES ($1, $2, $3, $4, $4, $5, 1, 0, 1, $6, $4, $7)`
)

// Create stores a resource in its first generation and wakes it. A name that
// another resource of the tenant has is fleet.NameTaken.
func (s *Store) Create(ctx context.Context, t fleet.TypeInfo, tenant string, n fleet.NewResource) (fleet.Resource, error) {
	var out fleet.Resource
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		var now time.Time
		if err := x.row(ctx, &now, clockSQL); err != nil {
			return err
		}
		created, err := s.insert(ctx, x, t, tenant, n, now)
		if err != nil {
			return err
		}
		out, err = created.resource(t)
		return err
	})
	if e := pq.As(err, pqerror.UniqueViolation); e != nil && e.Constraint == string(t.Type)+"_name" {
		return out, nameTaken(t, n.Name)
	}
	if err != nil {
		return out, outward(ctx, "create "+t.Kind, err)
	}
	s.log.DebugContext(ctx, "created", "cluster", out.ID, "name", out.Name, "labels", out.Labels)
	return out, nil
}

func nameTaken(t fleet.TypeInfo, name string) error {
	return &fleet.Error{
		Code: fleet.NameTaken, Detail: fmt.Sprintf("there is a %s %q already", t.Kind, name),
		Problems: []fleet.Problem{{Pointer: "/name", Message: fmt.Sprintf("%q is taken", name)}},
	}
}

func (s *Store) insert(ctx context.Context, x *tx, t fleet.TypeInfo, tenant string, n fleet.NewResource, now time.Time) (row, error) {
	var created row
	id, err := newID(now)
	if err != nil {
		return created, err
	}
	status := rollup.Status(rollup.Input{Required: s.required[t.Type], Generation: 1, Now: fleet.At(now)})
	labels, spec := labelsJSON(n.Labels), document(n.Spec)
	if err := x.row(ctx, &created, insertSQL, id, nil, tenant, n.Name, spec, statusJSON(status), labels,
		n.Paused, n.Protected, now); err != nil {
		return created, err
	}
	return created, x.exec(ctx, insertScheduleSQL, id, n.Labels[s.shardKey], status.Phase == fleet.Ready, now,
		string(fleet.GenerationChanged), string(status.Phase), labels)
}

// labelsJSON writes labels; none are an empty object.
func labelsJSON(labels map[string]string) string {
	if labels == nil {
		return "{}"
	}
	return mustJSON(labels)
}

func statusJSON(s fleet.Status) string { return mustJSON(s) }

// mustJSON is for types of ours, all of which marshal.
func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) //nolint:forbidigo // see above
	}
	return string(b)
}
