package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// getSQL reads a resource and its adapters' full reports in one snapshot.
const getSQL = `
	SELECT ` + columns + `, (
		SELECT jsonb_object_agg(r.adapter_name, jsonb_build_object('message', r.message, 'data', r.data))
		FROM {reports} r WHERE r.{subject} = {resources}.id) AS full
	FROM {resources} WHERE id = $1 AND ($2 OR deleted_at IS NULL) AND ($3 OR tenant = ANY($4::text[]))`

const resourceVersionSQL = `
	SELECT desired_version, reports_version FROM {resources}
	WHERE id = $1 AND ($2 OR deleted_at IS NULL) AND ($3 OR tenant = ANY($4::text[]))`

// ResourceVersion reads the version of a resource and nothing else of it.
func (s *Store) ResourceVersion(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, deleted bool) (string, error) {
	names, err := of(t)
	if err != nil {
		return "", err
	}
	if !isID(id) {
		return "", notFound(t, id)
	}
	all, tenants := sc.args()
	var rows []row
	if err := s.statements.read(ctx, &rows, names.sql(resourceVersionSQL), id, deleted, all, tenants); err != nil {
		return "", outward(ctx, "get the version of "+t.Kind, err)
	}
	if len(rows) == 0 {
		return "", notFound(t, id)
	}
	return rows[0].version(), nil
}

// Get reads a resource with its adapters' messages and data in full.
func (s *Store) Get(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, deleted bool) (Item, error) {
	r, err := s.find(ctx, t, sc, id, deleted)
	if err != nil {
		return Item{}, err
	}
	return r.whole(t)
}

func (s *Store) find(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, deleted bool) (row, error) {
	names, err := of(t)
	if err != nil {
		return row{}, err
	}
	if !isID(id) {
		return row{}, notFound(t, id)
	}
	all, tenants := sc.args()
	var rows []row
	if err := s.statements.read(ctx, &rows, names.sql(getSQL), id, deleted, all, tenants); err != nil {
		return row{}, outward(ctx, "get "+t.Kind, err)
	}
	if len(rows) == 0 {
		return row{}, notFound(t, id)
	}
	return rows[0], nil
}

// get reads a resource as the transaction left it.
func (x *tx) get(ctx context.Context, t fleet.TypeInfo, id string) (fleet.Resource, error) {
	var r row
	if err := x.row(ctx, &r, getSQL, id, true, true, pq.StringArray{}); err != nil {
		return fleet.Resource{}, err
	}
	return r.resource(t)
}

func (s *Store) clock(ctx context.Context) (time.Time, error) {
	var now []time.Time
	if err := s.statements.read(ctx, &now, clockSQL); err != nil {
		return time.Time{}, err
	}
	return now[0], nil
}
