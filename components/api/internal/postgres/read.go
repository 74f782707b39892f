package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
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
func (s *Store) Get(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, deleted bool) (fleet.Resource, error) {
	names, err := of(t)
	if err != nil {
		return fleet.Resource{}, err
	}
	if !isID(id) {
		return fleet.Resource{}, notFound(t, id)
	}
	all, tenants := sc.args()
	var rows []row
	if err := s.statements.read(ctx, &rows, names.sql(getSQL), id, deleted, all, tenants); err != nil {
		return fleet.Resource{}, outward(ctx, "get "+t.Kind, err)
	}
	if len(rows) == 0 {
		return fleet.Resource{}, notFound(t, id)
	}
	return rows[0].resource(t)
}

// get reads a resource as the transaction left it.
func (x *tx) get(ctx context.Context, t fleet.TypeInfo, id string) (fleet.Resource, error) {
	var r row
	if err := x.row(ctx, &r, getSQL, id, true, true, pq.StringArray{}); err != nil {
		return fleet.Resource{}, err
	}
	return r.resource(t)
}

// List reads one page of resources in the order of their ids, which never
// change: what exists during a whole walk is seen exactly once.
func (s *Store) List(ctx context.Context, t fleet.TypeInfo, sc Scope, q ListQuery) (fleet.List, error) {
	out := fleet.List{Kind: t.ListKind, Items: []fleet.Resource{}}
	names, err := of(t)
	if err != nil {
		return out, err
	}
	query := q.fingerprint(t, sc)
	after, err := readPlace(q.Continue, query)
	if err != nil {
		return out, err
	}
	asOf, err := s.clock(ctx)
	if err != nil {
		return out, outward(ctx, "list "+string(t.Type), err)
	}
	limit := pageSize(q.Limit)
	text, args := q.sql(sc, after, limit+1)
	var rows []row
	if err := s.statements.read(ctx, &rows, names.sql(text), args...); err != nil {
		return out, outward(ctx, "list "+string(t.Type), err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		out.Continue = place{Query: query, ID: rows[limit-1].ID}.String()
	}
	for _, r := range rows {
		item, err := r.resource(t)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, item)
	}
	out.AsOf = fleet.At(asOf)
	return out, nil
}

// sql is the statement of a page: constants chosen by what is asked, never
// anything of what was sent.
func (q ListQuery) sql(sc Scope, after place, limit int) (string, []any) {
	var args []any
	conditions := []string{}
	where := func(text string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(text, len(args)))
	}
	if !sc.all {
		_, tenants := sc.args()
		where("tenant = ANY($%d::text[])", tenants)
	}
	if !q.Deleted {
		conditions = append(conditions, "deleted_at IS NULL")
	}
	if after.ID != "" {
		where("id > $%d::uuid", after.ID)
	}
	if q.Name != "" {
		where("name = $%d::text", q.Name)
	}
	if q.Owner != "" {
		where("owner_id = $%d::uuid", q.Owner)
	}
	if q.UpdatedSince != nil {
		where("updated_at >= $%d::timestamptz", *q.UpdatedSince)
	}
	if len(q.Phases) > 0 {
		text := "status->>'phase' = ANY($%d::text[])"
		if q.NotPhases {
			text = "NOT " + text
		}
		where(text, stringArray(q.Phases))
	}
	if q.Selector != nil {
		text, more := selector.SQL(q.Selector, "labels", len(args)+1)
		conditions, args = append(conditions, text), append(args, more...)
	}
	if len(conditions) == 0 {
		conditions = []string{"true"}
	}
	args = append(args, limit)
	return "SELECT " + columns + " FROM {resources} WHERE " + strings.Join(conditions, " AND ") +
		fmt.Sprintf(" ORDER BY id LIMIT $%d", len(args)), args
}

func (s *Store) clock(ctx context.Context) (time.Time, error) {
	var now []time.Time
	if err := s.statements.read(ctx, &now, clockSQL); err != nil {
		return time.Time{}, err
	}
	return now[0], nil
}
