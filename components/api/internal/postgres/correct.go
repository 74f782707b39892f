package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
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

// mustLatest reads a report that must be its adapter's latest, else fleet.NotLatest.
func mustLatest(ctx context.Context, x *database.Tx, id, reportID string) (reportRow, error) {
	var r reportRow
	if !database.IsID(reportID) {
		return r, noReport(reportID)
	}
	err := x.Row(ctx, &r, reportSQL, id, reportID)
	if errors.Is(err, sql.ErrNoRows) {
		return r, noReport(reportID)
	}
	if err != nil {
		return r, err
	}
	var is bool
	if err := x.Row(ctx, &is, isLatestSQL, id, r.AdapterName, reportID); err != nil {
		return r, err
	}
	if !is {
		return r, fleet.Errorf(fleet.NotLatest, "only the latest report of adapter %s can be changed", r.AdapterName)
	}
	return r, nil
}

// PatchReport corrects the message or data of an adapter's latest report; data
// that is null is taken away. Any other report is fleet.NotLatest.
func (s *Desk) PatchReport(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id, reportID string, p fleet.ReportPatch) (fleet.Report, error) {
	var out fleet.Report
	err := s.under.UnderLock(ctx, t, sc, id, func(ctx context.Context, l resource.Locked, owner *resource.Locked) error {
		r, err := mustLatest(ctx, l.Tx, id, reportID)
		if err != nil {
			return err
		}
		out = r.report(l.Cluster())
		if p.Message != nil {
			r.Message = *p.Message
		}
		if p.Data != nil {
			r.Data = p.Data
		}
		err = l.Tx.Row(ctx, &r, patchReportSQL, id, reportID, r.Message, database.Document(r.Data))
		if errors.Is(err, sql.ErrNoRows) {
			return nil // it said so already
		}
		if err != nil {
			return err
		}
		out = r.report(l.Cluster())
		if err := setLatest(ctx, l, out); err != nil {
			return err
		}
		l.Resource.Status.Adapters = withReport(l.Resource.Status.Adapters, out)
		if err := l.Audit(ctx, fleet.ActionCorrectReport, l.Row.Generation); err != nil {
			return err
		}
		_, err = s.corrected(ctx, l, owner)
		return err
	})
	if err != nil {
		return fleet.Report{}, database.Outward(ctx, "change report", err)
	}
	return out, nil
}

// DeleteReport takes an adapter's latest report out of the history; the one
// before it is the latest again. Any other report is fleet.NotLatest.
func (s *Desk) DeleteReport(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id, reportID string) error {
	var before, phase fleet.Phase
	err := s.under.UnderLock(ctx, t, sc, id, func(ctx context.Context, l resource.Locked, owner *resource.Locked) error {
		before = l.Resource.Status.Phase
		r, err := mustLatest(ctx, l.Tx, id, reportID)
		if err != nil {
			return err
		}
		if err := l.Tx.Exec(ctx, deleteReportSQL, id, reportID); err != nil {
			return err
		}
		if l.Resource.Status.Adapters, err = restore(ctx, l, r.AdapterName); err != nil {
			return err
		}
		if err := l.Audit(ctx, fleet.ActionDeleteReport, l.Row.Generation); err != nil {
			return err
		}
		phase, err = s.corrected(ctx, l, owner)
		return err
	})
	if err != nil {
		return database.Outward(ctx, "delete report", err)
	}
	s.under.PhaseChanged(ctx, id, before, phase)
	return nil
}

// restore makes the newest report that an adapter has left its latest.
func restore(ctx context.Context, l resource.Locked, adapter string) ([]fleet.AdapterStatus, error) {
	adapters := withoutAdapter(l.Resource.Status.Adapters, adapter)
	var r reportRow
	err := l.Tx.Row(ctx, &r, beforeSQL, l.Row.ID, adapter)
	if errors.Is(err, sql.ErrNoRows) {
		return adapters, l.Tx.Exec(ctx, deleteLatestSQL, l.Row.ID, adapter)
	}
	if err != nil {
		return nil, fmt.Errorf("find the report before: %w", err)
	}
	before := r.report(l.Cluster())
	return withReport(adapters, before), setLatest(ctx, l, before)
}

// corrected rolls up after a correction, which is no report: nothing is put off.
func (s *Desk) corrected(ctx context.Context, l resource.Locked, owner *resource.Locked) (fleet.Phase, error) {
	in, err := s.under.Gather(ctx, l)
	if err != nil {
		return "", err
	}
	return s.under.Settle(ctx, l, owner, resource.Conclude(in))
}
