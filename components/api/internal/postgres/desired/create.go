package desired

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	tenantSQL = `SELECT tenant FROM {resources} WHERE id = $1 AND ($2 OR tenant = ANY($3::text[]))`

	insertSQL = `
		INSERT INTO {resources} (` + resource.Columns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false, 1, 1, 0, $10, $10, NULL, NULL, $10) RETURNING ` + resource.Columns
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
func (s *Writer) Create(ctx context.Context, t fleet.TypeInfo, tenant string, n fleet.NewResource, request once.Request) (fleet.Resource, error) {
	return s.create(ctx, t, n, func(ctx context.Context, x *database.Tx) (fleet.Resource, error) {
		return once.Do(ctx, x, tenant, request, func() (fleet.Resource, error) {
			return s.insert(ctx, x, birth{tenant: tenant, labels: n.Labels}, n)
		})
	})
}

// CreateIn stores a resource of a type that has owners, in the tenant of its
// owner and with its shard-key label. An owner that is not there is
// fleet.NotFound, one that is being deleted fleet.Conflict. For once see Create.
func (s *Writer) CreateIn(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, owner string, n fleet.NewResource, request once.Request) (fleet.Resource, error) {
	above, ok := t.Owner.Info()
	if !ok {
		return fleet.Resource{}, fmt.Errorf("create %s: it has no owner", t.Kind)
	}
	return s.create(ctx, t, n, func(ctx context.Context, x *database.Tx) (fleet.Resource, error) {
		tenant, err := tenantOf(ctx, x.In(above), sc, owner) // also of a tombstone: a repeated request is answered as before
		if err != nil {
			return fleet.Resource{}, err
		}
		return once.Do(ctx, x, tenant, request, func() (fleet.Resource, error) {
			l, err := resource.Lock(ctx, x.In(above), sc, owner)
			if err != nil {
				return fleet.Resource{}, err
			}
			if l.Deleting() {
				return fleet.Resource{}, fleet.Errorf(fleet.Conflict, "%s is being deleted; nothing can be added to it", l.Title())
			}
			labels, err := s.inherit(l.Resource.Labels, n.Labels, t)
			if err != nil {
				return fleet.Resource{}, err
			}
			return s.insert(ctx, x, birth{tenant: tenant, owner: &l.Row.ID, labels: labels}, n)
		})
	})
}

// tenantOf reads whose a resource is, or was.
func tenantOf(ctx context.Context, x *database.Tx, sc tenant.Scope, id string) (string, error) {
	if !database.IsID(id) {
		return "", database.NotFound(x.Info, id)
	}
	all, tenants := sc.Predicate()
	var tenant string
	err := x.Row(ctx, &tenant, tenantSQL, id, all, tenants)
	if errors.Is(err, sql.ErrNoRows) {
		return "", database.NotFound(x.Info, id)
	}
	return tenant, err
}

func (s *Writer) create(ctx context.Context, t fleet.TypeInfo, n fleet.NewResource, work func(context.Context, *database.Tx) (fleet.Resource, error)) (fleet.Resource, error) {
	var out fleet.Resource
	err := s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) (err error) {
		out, err = work(ctx, x)
		return err
	})
	if e := pq.As(err, pqerror.UniqueViolation); e != nil && e.Constraint == string(t.Type)+"_name" {
		return out, nameTaken(t, n.Name)
	}
	if err != nil {
		return out, database.Outward(ctx, "create "+t.Kind, err)
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

func (s *Writer) insert(ctx context.Context, x *database.Tx, b birth, n fleet.NewResource) (fleet.Resource, error) {
	now, err := x.Clock(ctx)
	if err != nil {
		return fleet.Resource{}, err
	}
	id, err := database.NewID(now)
	if err != nil {
		return fleet.Resource{}, err
	}
	var created resource.Row
	status := rollup.Status(rollup.Input{Required: s.under.Required[x.Info.Type], Generation: 1, Now: fleet.At(now)})
	labels, spec := resource.LabelsJSON(b.labels), database.Document(n.Spec)
	if err := x.Row(ctx, &created, insertSQL, id, b.owner, b.tenant, n.Name, spec, resource.StatusJSON(status), labels, n.Paused, n.Protected, now); err != nil {
		return fleet.Resource{}, err
	}
	if err := schedule.Enter(ctx, x, id, b.labels[s.shardKey], labels, status, now, n.Paused); err != nil {
		return fleet.Resource{}, err
	}
	if err := schedule.SameKey(ctx, x, s.shardKey); err != nil {
		return fleet.Resource{}, err
	}
	if err := audit.Note(ctx, x, now, fleet.ActionCreate, audit.Subject{Tenant: created.Tenant, ID: created.ID, Name: created.Name}, 0, created.Generation); err != nil {
		return fleet.Resource{}, err
	}
	return created.Resource(x.Info)
}
