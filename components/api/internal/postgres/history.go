package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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

	isLatestSQL = `SELECT EXISTS (SELECT 1 FROM {reports} WHERE {subject} = $1 AND adapter_name = $2 AND status_id = $3)`

	patchReportSQL = `
		UPDATE {statuses} SET message = $3, data = $4::jsonb
		WHERE {subject} = $1 AND id = $2 AND (message, data) <> ($3, $4::jsonb)
		RETURNING ` + reportColumns

	deleteReportSQL = `DELETE FROM {statuses} WHERE {subject} = $1 AND id = $2`

	// beforeSQL finds what an adapter's latest was: a late word on an older
	// generation never was it while there was one on a newer.
	beforeSQL = `
		SELECT ` + reportColumns + ` FROM {statuses}
		WHERE {subject} = $1 AND adapter_name = $2 ORDER BY observed_generation DESC, id DESC LIMIT 1`

	deleteLatestSQL = `DELETE FROM {reports} WHERE {subject} = $1 AND adapter_name = $2`
)

const maxID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// Reports reads one page of a resource's history, newest first. It hands over
// and returns as List does.
func (s *Store) Reports(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, q ReportQuery, each func(fleet.Report) error) (fleet.ReportList, error) {
	out := fleet.ReportList{Kind: "StatusList"}
	query := fingerprint("reports", t.Type, id, q.Adapter)
	from, err := readPlace(q.Continue, query)
	if err != nil {
		return out, err
	}
	names, seen, err := s.visible(ctx, t, sc, id, q.Deleted)
	if err != nil {
		return out, err
	}
	if from.ID == "" {
		from.ID = maxID
	}
	limit := pageSize(q.Limit)
	text, args := historySQL, []any{id, from.ID, limit + 1}
	if q.Adapter != "" {
		text, args = adapterHistorySQL, append(args, q.Adapter)
	}
	out.AsOf = fleet.At(seen.Now)
	p := page[reportRow]{limit: limit, id: func(r reportRow) string { return r.ID }, each: func(r reportRow) error { return each(r.report(seen.Cluster)) }}
	err = p.walk(ctx, s.statements, names.sql(text), args)
	out.Continue = p.next(query)
	return out, p.outward(ctx, "list reports", err)
}

// sight is a resource that exists for the scope, and when that was seen.
type sight struct {
	Cluster string    `db:"cluster"` // see [row.cluster]
	Now     time.Time `db:"now"`
}

// visible says that the resource exists for the scope, else fleet.NotFound.
func (s *Store) visible(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, deleted bool) (tables, sight, error) {
	names, err := of(t)
	if err != nil {
		return names, sight{}, err
	}
	if !isID(id) {
		return names, sight{}, notFound(t, id)
	}
	all, tenants := sc.args()
	var seen []sight
	if err := s.statements.read(ctx, &seen, names.sql(visibleSQL), id, deleted, all, tenants); err != nil {
		return names, sight{}, outward(ctx, "find "+t.Kind, err)
	}
	if len(seen) == 0 {
		return names, sight{}, notFound(t, id)
	}
	return names, seen[0], nil
}

func noReport(id string) error {
	return fleet.Errorf(fleet.NotFound, "there is no report %q on this resource", id)
}

// GetReport reads one entry of a resource's history, that of a tombstone where
// deleted says so.
func (s *Store) GetReport(ctx context.Context, t fleet.TypeInfo, sc Scope, id, reportID string, deleted bool) (fleet.Report, error) {
	names, seen, err := s.visible(ctx, t, sc, id, deleted)
	if err != nil {
		return fleet.Report{}, err
	}
	if !isID(reportID) {
		return fleet.Report{}, noReport(reportID)
	}
	var rows []reportRow
	if err := s.statements.read(ctx, &rows, names.sql(reportSQL), id, reportID); err != nil {
		return fleet.Report{}, outward(ctx, "get report", err)
	}
	if len(rows) == 0 {
		return fleet.Report{}, noReport(reportID)
	}
	return rows[0].report(seen.Cluster), nil
}

// mustLatest reads a report that must be its adapter's latest, else fleet.NotLatest.
func (x *tx) mustLatest(ctx context.Context, id, reportID string) (reportRow, error) {
	var r reportRow
	if !isID(reportID) {
		return r, noReport(reportID)
	}
	err := x.row(ctx, &r, reportSQL, id, reportID)
	if errors.Is(err, sql.ErrNoRows) {
		return r, noReport(reportID)
	}
	if err != nil {
		return r, err
	}
	var is bool
	if err := x.row(ctx, &is, isLatestSQL, id, r.AdapterName, reportID); err != nil {
		return r, err
	}
	if !is {
		return r, fleet.Errorf(fleet.NotLatest, "only the latest report of adapter %s can be changed", r.AdapterName)
	}
	return r, nil
}

// PatchReport corrects the message or data of an adapter's latest report; data
// that is null is taken away. Any other report is fleet.NotLatest.
func (s *Store) PatchReport(ctx context.Context, t fleet.TypeInfo, sc Scope, id, reportID string, p fleet.ReportPatch) (fleet.Report, error) {
	var out fleet.Report
	err := s.underLock(ctx, t, sc, id, func(ctx context.Context, l locked, owner *locked) error {
		r, err := l.tx.mustLatest(ctx, id, reportID)
		if err != nil {
			return err
		}
		out = r.report(l.cluster())
		if p.Message != nil {
			r.Message = *p.Message
		}
		if p.Data != nil {
			r.Data = p.Data
		}
		err = l.tx.row(ctx, &r, patchReportSQL, id, reportID, r.Message, document(r.Data))
		if errors.Is(err, sql.ErrNoRows) {
			return nil // it said so already
		}
		if err != nil {
			return err
		}
		out = r.report(l.cluster())
		if err := l.latest(ctx, out); err != nil {
			return err
		}
		l.Resource.Status.Adapters = withReport(l.Resource.Status.Adapters, out)
		if err := l.audit(ctx, fleet.ActionCorrectReport, l.row.Generation); err != nil {
			return err
		}
		_, err = s.corrected(ctx, l, owner)
		return err
	})
	if err != nil {
		return fleet.Report{}, outward(ctx, "change report", err)
	}
	return out, nil
}

// DeleteReport takes an adapter's latest report out of the history; the one
// before it is the latest again. Any other report is fleet.NotLatest.
func (s *Store) DeleteReport(ctx context.Context, t fleet.TypeInfo, sc Scope, id, reportID string) error {
	var before, phase fleet.Phase
	err := s.underLock(ctx, t, sc, id, func(ctx context.Context, l locked, owner *locked) error {
		before = l.Resource.Status.Phase
		r, err := l.tx.mustLatest(ctx, id, reportID)
		if err != nil {
			return err
		}
		if err := l.tx.exec(ctx, deleteReportSQL, id, reportID); err != nil {
			return err
		}
		if l.Resource.Status.Adapters, err = l.restore(ctx, r.AdapterName); err != nil {
			return err
		}
		if err := l.audit(ctx, fleet.ActionDeleteReport, l.row.Generation); err != nil {
			return err
		}
		phase, err = s.corrected(ctx, l, owner)
		return err
	})
	if err != nil {
		return outward(ctx, "delete report", err)
	}
	s.phaseChanged(ctx, id, before, phase)
	return nil
}

// restore makes the newest report that an adapter has left its latest.
func (l locked) restore(ctx context.Context, adapter string) ([]fleet.AdapterStatus, error) {
	adapters := withoutAdapter(l.Resource.Status.Adapters, adapter)
	var r reportRow
	err := l.tx.row(ctx, &r, beforeSQL, l.row.ID, adapter)
	if errors.Is(err, sql.ErrNoRows) {
		return adapters, l.tx.exec(ctx, deleteLatestSQL, l.row.ID, adapter)
	}
	if err != nil {
		return nil, fmt.Errorf("find the report before: %w", err)
	}
	before := r.report(l.cluster())
	return withReport(adapters, before), l.latest(ctx, before)
}

// corrected rolls up after a correction, which is no report: nothing is put off.
func (s *Store) corrected(ctx context.Context, l locked, owner *locked) (fleet.Phase, error) {
	in, err := s.gather(ctx, l)
	if err != nil {
		return "", err
	}
	return s.settle(ctx, l, owner, conclude(in))
}
