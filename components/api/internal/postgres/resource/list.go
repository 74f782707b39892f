package resource

import (
	"context"
	"fmt"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// List reads one page of resources in the order of their ids, which never
// change: what exists during a whole walk is seen exactly once. It hands over
// one after the other and keeps none; an
// error of each ends the list and is returned as it is. What is returned has no
// items.
func (s *Reader) List(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, q Query, each func(Item) error) (fleet.List, error) {
	out := fleet.List{Kind: t.ListKind}
	names, err := database.TablesFor(t)
	if err != nil {
		return out, err
	}
	query := q.fingerprint(t, sc)
	after, err := page.Read(q.Continue, query)
	if err != nil {
		return out, err
	}
	asOf, err := s.db.Clock(ctx)
	if err != nil {
		return out, database.Outward(ctx, "list "+string(t.Type), err)
	}
	out.AsOf = fleet.At(asOf)
	if q.Count {
		if out.Total, err = s.total(ctx, names, sc, q); err != nil {
			return out, database.Outward(ctx, "count "+string(t.Type), err)
		}
	}
	limit := page.Size(q.Limit)
	text, args := q.sql(sc, after, limit+1)
	p := page.Rows[Row]{Limit: limit, ID: func(r Row) string { return r.ID }, Each: func(r Row) error { return each(r.Item(t)) }}
	err = p.Walk(ctx, s.db, names.SQL(text), args)
	out.Continue = p.Next(query)
	return out, p.Outward(ctx, "list "+string(t.Type), err)
}

// total counts what a whole walk would see now.
func (s *Reader) total(ctx context.Context, names database.Tables, sc tenant.Scope, q Query) (*int64, error) {
	conditions, args := q.where(sc, page.Place{})
	var n []int64
	err := s.db.Read(ctx, &n, names.SQL("SELECT count(*) FROM {resources} WHERE "+conditions), args...)
	if err != nil {
		return nil, err
	}
	return &n[0], nil
}

// sql is the statement of a page: constants chosen by what is asked, never
// anything of what was sent.
func (q Query) sql(sc tenant.Scope, after page.Place, limit int) (string, []any) {
	conditions, args := q.where(sc, after)
	args = append(args, limit)
	return "SELECT " + Columns + " FROM {resources} WHERE " + conditions + fmt.Sprintf(" ORDER BY id LIMIT $%d", len(args)), args
}

func (q Query) where(sc tenant.Scope, after page.Place) (string, []any) {
	var args []any
	conditions := []string{}
	where := func(text string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(text, len(args)))
	}
	if all, tenants := sc.Predicate(); !all {
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
		where(text, database.StringArray(q.Phases))
	}
	if q.Selector != nil {
		text, more := selector.SQL(q.Selector, "labels", len(args)+1)
		conditions, args = append(conditions, text), append(args, more...)
	}
	if len(conditions) == 0 {
		conditions = []string{"true"}
	}
	return strings.Join(conditions, " AND "), args
}
