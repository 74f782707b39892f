package postgres

import (
	"context"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	visibleSQL = `
		SELECT coalesce(owner_id, id) AS cluster, clock_timestamp() AS now FROM {resources}
		WHERE id = $1 AND ($2 OR deleted_at IS NULL) AND ($3 OR tenant = ANY($4::text[]))`

	historySQL = `
		SELECT ` + reportColumns + ` FROM {statuses}
		WHERE {subject} = $1 AND id < $2 ORDER BY id DESC LIMIT $3`

	adapterHistorySQL = `
		SELECT ` + reportColumns + ` FROM {statuses}
		WHERE {subject} = $1 AND id < $2 AND adapter_name = $4 ORDER BY id DESC LIMIT $3`

	reportSQL = `SELECT ` + reportColumns + ` FROM {statuses} WHERE {subject} = $1 AND id = $2`
)

// History reads what was reported.
type History struct{ db *database.Pool }

func newHistory(db *database.Pool) *History { return &History{db} }

// ReportQuery says which entries of a resource's history are asked for.
type ReportQuery struct {
	Adapter  string // only this adapter's; empty = all
	Deleted  bool   // also of what is deleted
	Limit    int    // at most so many; 0 = 100, never more than 1000
	Continue string // from the list before
}

// Reports reads one page of a resource's history, newest first. It hands over
// and returns as List does.
func (h *History) Reports(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, q ReportQuery, each func(fleet.Report) error) (fleet.ReportList, error) {
	out := fleet.ReportList{Kind: "StatusList"}
	query := page.Fingerprint("reports", t.Type, id, q.Adapter)
	from, err := page.Read(q.Continue, query)
	if err != nil {
		return out, err
	}
	names, seen, err := h.visible(ctx, t, sc, id, q.Deleted)
	if err != nil {
		return out, err
	}
	if from.ID == "" {
		from.ID = database.MaxID
	}
	limit := page.Size(q.Limit)
	text, args := historySQL, []any{id, from.ID, limit + 1}
	if q.Adapter != "" {
		text, args = adapterHistorySQL, append(args, q.Adapter)
	}
	out.AsOf = fleet.At(seen.Now)
	p := page.Rows[reportRow]{Limit: limit, ID: func(r reportRow) string { return r.ID }, Each: func(r reportRow) error { return each(r.report(seen.Cluster)) }}
	err = p.Walk(ctx, h.db, names.SQL(text), args)
	out.Continue = p.Next(query)
	return out, p.Outward(ctx, "list reports", err)
}

// sight is a resource that exists for the scope, and when that was seen.
type sight struct {
	Cluster string    `db:"cluster"` // see [row.cluster]
	Now     time.Time `db:"now"`
}

// visible says that the resource exists for the scope, else fleet.NotFound.
func (h *History) visible(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, deleted bool) (database.Tables, sight, error) {
	names, err := database.TablesFor(t)
	if err != nil {
		return names, sight{}, err
	}
	if !database.IsID(id) {
		return names, sight{}, database.NotFound(t, id)
	}
	all, tenants := sc.Predicate()
	var seen []sight
	if err := h.db.Read(ctx, &seen, names.SQL(visibleSQL), id, deleted, all, tenants); err != nil {
		return names, sight{}, database.Outward(ctx, "find "+t.Kind, err)
	}
	if len(seen) == 0 {
		return names, sight{}, database.NotFound(t, id)
	}
	return names, seen[0], nil
}

func noReport(id string) error {
	return fleet.Errorf(fleet.NotFound, "there is no report %q on this resource", id)
}

// GetReport reads one entry of a resource's history, that of a tombstone where
// deleted says so.
func (h *History) GetReport(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id, reportID string, deleted bool) (fleet.Report, error) {
	names, seen, err := h.visible(ctx, t, sc, id, deleted)
	if err != nil {
		return fleet.Report{}, err
	}
	if !database.IsID(reportID) {
		return fleet.Report{}, noReport(reportID)
	}
	var rows []reportRow
	if err := h.db.Read(ctx, &rows, names.SQL(reportSQL), id, reportID); err != nil {
		return fleet.Report{}, database.Outward(ctx, "get report", err)
	}
	if len(rows) == 0 {
		return fleet.Report{}, noReport(reportID)
	}
	return rows[0].report(seen.Cluster), nil
}
