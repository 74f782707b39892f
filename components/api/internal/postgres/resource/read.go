package resource

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// GetSQL reads a resource and its adapters' full reports in one snapshot. A bare
// server that runs it too is what reads are measured against.
const GetSQL = `
	SELECT ` + Columns + `, (
		SELECT jsonb_object_agg(r.adapter_name, jsonb_build_object('message', r.message, 'data', r.data))
		FROM {reports} r WHERE r.{subject} = {resources}.id) AS full
	FROM {resources} WHERE id = $1 AND ($2 OR deleted_at IS NULL) AND ($3 OR tenant = ANY($4::text[]))`

const resourceVersionSQL = `
	SELECT desired_version, reports_version FROM {resources}
	WHERE id = $1 AND ($2 OR deleted_at IS NULL) AND ($3 OR tenant = ANY($4::text[]))`

// Reader reads resources.
type Reader struct {
	db  *database.Pool
	get map[fleet.ResourceType]string
}

// NewReader reads from db.
func NewReader(db *database.Pool) *Reader { return &Reader{db, database.SQLs(GetSQL)} }

// ResourceVersion reads the version of a resource and nothing else of it.
func (s *Reader) ResourceVersion(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, deleted bool) (string, error) {
	names, err := database.TablesFor(t)
	if err != nil {
		return "", err
	}
	if !database.IsID(id) {
		return "", database.NotFound(t, id)
	}
	all, tenants := sc.Predicate()
	var rows []Row
	if err := s.db.Read(ctx, &rows, names.SQL(resourceVersionSQL), id, deleted, all, tenants); err != nil {
		return "", database.Outward(ctx, "get the version of "+t.Kind, err)
	}
	if len(rows) == 0 {
		return "", database.NotFound(t, id)
	}
	return rows[0].version(), nil
}

// Get reads a resource with its adapters' messages and data in full.
func (s *Reader) Get(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, deleted bool) (Item, error) {
	r, err := s.find(ctx, t, sc, id, deleted)
	if err != nil {
		return Item{}, err
	}
	return r.whole(t)
}

func (s *Reader) find(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, deleted bool) (Row, error) {
	text, known := s.get[t.Type]
	if !known || !database.IsID(id) {
		return Row{}, database.NotFound(t, id)
	}
	all, tenants := sc.Predicate()
	var r Row
	err := s.db.One(ctx, r.places(), text, id, deleted, all, tenants)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, database.NotFound(t, id)
	}
	return r, database.Outward(ctx, "get "+t.Kind, err)
}

// Fetch reads a resource as the transaction left it.
func Fetch(ctx context.Context, x *database.Tx, t fleet.TypeInfo, id string) (fleet.Resource, error) {
	var r Row
	if err := x.Row(ctx, &r, GetSQL, id, true, true, pq.StringArray{}); err != nil {
		return fleet.Resource{}, err
	}
	return r.Resource(t)
}
