package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// List reads one page of resources in the order of their ids, which never
// change: what exists during a whole walk is seen exactly once. It hands over
// one after the other and keeps none; an
// error of each ends the list and is returned as it is. What is returned has no
// items.
func (s *Store) List(ctx context.Context, t fleet.TypeInfo, sc Scope, q ListQuery, each func(Item) error) (fleet.List, error) {
	out := fleet.List{Kind: t.ListKind}
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
	out.AsOf = fleet.At(asOf)
	if q.Count {
		if out.Total, err = s.total(ctx, names, sc, q); err != nil {
			return out, outward(ctx, "count "+string(t.Type), err)
		}
	}
	limit := pageSize(q.Limit)
	text, args := q.sql(sc, after, limit+1)
	p := page[row]{limit: limit, id: func(r row) string { return r.ID }, each: func(r row) error { return each(r.item(t)) }}
	err = p.walk(ctx, s.statements, names.sql(text), args)
	out.Continue = p.next(query)
	return out, p.outward(ctx, "list "+string(t.Type), err)
}

// total counts what a whole walk would see now.
func (s *Store) total(ctx context.Context, names tables, sc Scope, q ListQuery) (*int64, error) {
	conditions, args := q.where(sc, place{})
	var n []int64
	err := s.statements.read(ctx, &n, names.sql("SELECT count(*) FROM {resources} WHERE "+conditions), args...)
	if err != nil {
		return nil, err
	}
	return &n[0], nil
}

// sql is the statement of a page: constants chosen by what is asked, never
// anything of what was sent.
func (q ListQuery) sql(sc Scope, after place, limit int) (string, []any) {
	conditions, args := q.where(sc, after)
	args = append(args, limit)
	return "SELECT " + columns + " FROM {resources} WHERE " + conditions + fmt.Sprintf(" ORDER BY id LIMIT $%d", len(args)), args
}

func (q ListQuery) where(sc Scope, after place) (string, []any) {
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
	return strings.Join(conditions, " AND "), args
}
