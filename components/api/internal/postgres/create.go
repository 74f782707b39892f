package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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
// another resource of the tenant has is fleet.NameTaken. A request that once
// names is answered as before where it comes again; under another body its key
// is fleet.KeyReused.
func (s *Store) Create(ctx context.Context, t fleet.TypeInfo, tenant string, n fleet.NewResource, once Once) (fleet.Resource, error) {
	var out fleet.Resource
	err := s.within(ctx, t, func(ctx context.Context, x *tx) (err error) {
		out, err = x.once(ctx, tenant, once, func() (fleet.Resource, error) {
			var now time.Time
			if err := x.row(ctx, &now, clockSQL); err != nil {
				return fleet.Resource{}, err
			}
			created, err := s.insert(ctx, x, t, tenant, n, now)
			if err != nil {
				return fleet.Resource{}, err
			}
			return created.resource(t)
		})
		return err
	})
	if e := pq.As(err, pqerror.UniqueViolation); e != nil && e.Constraint == string(t.Type)+"_name" {
		return out, nameTaken(t, n.Name)
	}
	if err != nil {
		return out, outward(ctx, "create "+t.Kind, err)
	}
	s.log.InfoContext(ctx, "created", "cluster", out.ID, "name", out.Name, "labels", out.Labels)
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

// mustJSON is for types of ours, all of which marshal. It leaves <, > and & as
// they are, so that what is read back is written as it was before.
func mustJSON(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) //nolint:forbidigo // see above
	}
	return strings.TrimSuffix(b.String(), "\n")
}
