package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
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

	tenantSQL = `SELECT tenant FROM {resources} WHERE id = $1 AND ($2 OR tenant = ANY($3::text[]))`

	insertSQL = `
		INSERT INTO {resources} (` + columns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false, 1, 1, 0, $10, $10, NULL, NULL, $10) RETURNING ` + columns

	insertScheduleSQL = `
		INSERT INTO {schedule} (id, shard_key, ready, base, wake_at, wake_reason, wakes, repeat, generation, phase, transitioned_at, labels)
		VALUES ($1, $2, $3,
			CASE WHEN $8::boolean THEN 'infinity' ELSE $4::timestamptz END,
			CASE WHEN $8::boolean THEN NULL ELSE $4::timestamptz END, CASE WHEN $8::boolean THEN NULL ELSE $5 END,
			1, 0, 1, $6, $4::timestamptz, $7)`
)

// birth is what a new resource has besides what its creator gives.
type birth struct {
	tenant string
	owner  *string // id
	labels map[string]string
}

// Create stores a resource in its first generation and wakes it. A name that
// another resource of the tenant has is fleet.NameTaken. A request that once
// names is answered as before where it comes again; under another body its key
// is fleet.KeyReused.
func (s *Store) Create(ctx context.Context, t fleet.TypeInfo, tenant string, n fleet.NewResource, once Once) (fleet.Resource, error) {
	return s.create(ctx, t, n, func(ctx context.Context, x *tx) (fleet.Resource, error) {
		return x.once(ctx, tenant, once, func() (fleet.Resource, error) {
			return s.insert(ctx, x, birth{tenant: tenant, labels: n.Labels}, n)
		})
	})
}

// CreateIn stores a resource of a type that has owners, in the tenant of its
// owner and with its shard-key label. An owner that is not there is
// fleet.NotFound, one that is being deleted fleet.Conflict. For once see Create.
func (s *Store) CreateIn(ctx context.Context, t fleet.TypeInfo, sc Scope, owner string, n fleet.NewResource, once Once) (fleet.Resource, error) {
	above, ok := t.Owner.Info()
	if !ok {
		return fleet.Resource{}, fmt.Errorf("create %s: it has no owner", t.Kind)
	}
	return s.create(ctx, t, n, func(ctx context.Context, x *tx) (fleet.Resource, error) {
		tenant, err := x.in(above).tenant(ctx, sc, owner) // also of a tombstone: a repeated request is answered as before
		if err != nil {
			return fleet.Resource{}, err
		}
		return x.once(ctx, tenant, once, func() (fleet.Resource, error) {
			l, err := x.in(above).lock(ctx, sc, owner)
			if err != nil {
				return fleet.Resource{}, err
			}
			if l.Deleting() {
				return fleet.Resource{}, fleet.Errorf(fleet.Conflict, "%s is being deleted; nothing can be added to it", l.title())
			}
			labels, err := s.inherit(l.Resource.Labels, n.Labels, t)
			if err != nil {
				return fleet.Resource{}, err
			}
			return s.insert(ctx, x, birth{tenant: tenant, owner: &l.row.ID, labels: labels}, n)
		})
	})
}

// tenant reads whose a resource is, or was.
func (x *tx) tenant(ctx context.Context, sc Scope, id string) (string, error) {
	if !isID(id) {
		return "", notFound(x.info, id)
	}
	all, tenants := sc.args()
	var tenant string
	err := x.row(ctx, &tenant, tenantSQL, id, all, tenants)
	if errors.Is(err, sql.ErrNoRows) {
		return "", notFound(x.info, id)
	}
	return tenant, err
}

func (s *Store) create(ctx context.Context, t fleet.TypeInfo, n fleet.NewResource, work func(context.Context, *tx) (fleet.Resource, error)) (fleet.Resource, error) {
	var out fleet.Resource
	err := s.within(ctx, t, func(ctx context.Context, x *tx) (err error) {
		out, err = work(ctx, x)
		return err
	})
	if e := pq.As(err, pqerror.UniqueViolation); e != nil && e.Constraint == string(t.Type)+"_name" {
		return out, nameTaken(t, n.Name)
	}
	if err != nil {
		return out, outward(ctx, "create "+t.Kind, err)
	}
	s.log.InfoContext(ctx, "created", "cluster", out.ID, "owner", out.OwnerID(), "name", out.Name, "labels", out.Labels)
	return out, nil
}

func nameTaken(t fleet.TypeInfo, name string) error {
	return &fleet.Error{
		Code: fleet.NameTaken, Detail: fmt.Sprintf("there is a %s %q already", t.Kind, name),
		Problems: []fleet.Problem{{Pointer: "/name", Message: fmt.Sprintf("%q is taken", name)}},
	}
}

func (s *Store) insert(ctx context.Context, x *tx, b birth, n fleet.NewResource) (fleet.Resource, error) {
	var now time.Time
	if err := x.row(ctx, &now, clockSQL); err != nil {
		return fleet.Resource{}, err
	}
	id, err := newID(now)
	if err != nil {
		return fleet.Resource{}, err
	}
	var created row
	status := rollup.Status(rollup.Input{Required: s.required[x.info.Type], Generation: 1, Now: fleet.At(now)})
	labels, spec := labelsJSON(b.labels), document(n.Spec)
	if err := x.row(ctx, &created, insertSQL, id, b.owner, b.tenant, n.Name, spec, statusJSON(status), labels, n.Paused, n.Protected, now); err != nil {
		return fleet.Resource{}, err
	}
	err = x.exec(ctx, insertScheduleSQL, id, b.labels[s.shardKey], status.Phase == fleet.Ready, now,
		string(fleet.GenerationChanged), string(status.Phase), labels, n.Paused)
	if err != nil {
		return fleet.Resource{}, err
	}
	if err := s.sameKey(ctx, x); err != nil {
		return fleet.Resource{}, err
	}
	if err := x.audit(ctx, now, fleet.ActionCreate, created, 0, created.Generation); err != nil {
		return fleet.Resource{}, err
	}
	return created.resource(x.info)
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
