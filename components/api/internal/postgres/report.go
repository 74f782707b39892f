package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// latestSQL compares with an adapter's latest report, in full.
	latestSQL = `
		SELECT status_id AS id, message = $3 AND data = $4::jsonb AS same
		FROM {reports} WHERE {subject} = $1 AND adapter_name = $2`

	// olderSQL is the newest report of an adapter on an older generation.
	olderSQL = `
		SELECT id, phase, attempt, message = $4 AND data = $5::jsonb AS same
		FROM {statuses} WHERE {subject} = $1 AND adapter_name = $2 AND observed_generation = $3
		ORDER BY id DESC LIMIT 1`

	insertReportSQL = `
		INSERT INTO {statuses} (id, {subject}, adapter_name, phase, message, data, observed_generation, attempt,
			attempt_base, retry_at, checked_at, last_transition_time, reports, created_at, last_reported_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $13) RETURNING ` + reportColumns

	foldSQL = `
		UPDATE {statuses} SET reports = reports + 1, last_reported_at = $2,
			retry_at = coalesce($3::timestamptz, retry_at), checked_at = coalesce($4::timestamptz, checked_at),
			attempt_base = greatest(attempt_base, $5)
		WHERE id = $1 RETURNING ` + reportColumns

	upsertReportSQL = `
		INSERT INTO {reports} ({subject}, adapter_name, status_id, message, data) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT ({subject}, adapter_name) DO UPDATE
		SET status_id = excluded.status_id, message = excluded.message, data = excluded.data`
)

// Report stores what an adapter says, rolls the resource up and reschedules
// it, in one transaction. See the API's contract for what folds, what is
// refused (fleet.Invalid, fleet.StaleGeneration, fleet.Superseded) and what
// wakes the resource.
func (s *Store) Report(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, n fleet.NewReport) (fleet.Report, error) {
	var out fleet.Report
	var before, phase fleet.Phase
	var folded bool
	err := s.within(ctx, t, func(ctx context.Context, x *tx) error {
		l, err := x.lock(ctx, t, sc, id)
		if err != nil {
			return err
		}
		before, phase = l.Resource.Status.Phase, l.Resource.Status.Phase
		prev, err := x.previous(ctx, l, n)
		if err != nil {
			return err
		}
		prev.over = prev.id != "" && s.split(x.statuses, prev.id, l.now)
		entry, err := judge(l.row.Generation, prev, n, l.now)
		if err != nil {
			return err
		}
		folded = entry.folds
		if out, err = x.store(ctx, l, prev, entry); err != nil {
			return err
		}
		if out.ObservedGeneration < l.row.Generation {
			return x.exec(ctx, touchSQL, id, l.now) // it changes nothing else
		}
		phase, err = s.reported(ctx, x, t, l, prev, entry, out)
		return err
	})
	if err != nil {
		return fleet.Report{}, outward(ctx, "report on "+t.Kind, err)
	}
	if !folded {
		s.log.DebugContext(ctx, "reported", "cluster", id, "adapter", out.AdapterName, "phase", string(out.Phase),
			"generation", out.ObservedGeneration, "attempt", out.Attempt, "message", rollup.Cut(out.Message))
	}
	s.phaseChanged(ctx, id, before, phase)
	return out, nil
}

// previous finds the adapter's newest report on the generation that n is about.
// For the current generation the history is not read.
func (x *tx) previous(ctx context.Context, l locked, n fleet.NewReport) (previous, error) {
	var found struct {
		ID      string `db:"id"`
		Phase   string `db:"phase"`
		Attempt int    `db:"attempt"`
		Same    bool   `db:"same"`
	}
	var err error
	if n.ObservedGeneration != 0 && n.ObservedGeneration != l.row.Generation {
		err = x.row(ctx, &found, olderSQL, l.row.ID, n.AdapterName, n.ObservedGeneration, n.Message, document(n.Data))
	} else {
		latest, ok := l.Resource.Status.Adapter(n.AdapterName)
		if !ok || latest.ObservedGeneration != l.row.Generation {
			return previous{}, nil
		}
		found.Phase, found.Attempt = string(latest.Phase), latest.Attempt
		err = x.row(ctx, &found, latestSQL, l.row.ID, n.AdapterName, n.Message, document(n.Data))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return previous{}, nil
	}
	return previous{id: found.ID, phase: fleet.ReportPhase(found.Phase), attempt: found.Attempt, sameContent: found.Same}, err
}

// store folds the entry into the previous one, or appends it.
func (x *tx) store(ctx context.Context, l locked, prev previous, e entry) (fleet.Report, error) {
	var stored reportRow
	if e.folds {
		err := x.row(ctx, &stored, foldSQL, prev.id, l.now, nullable(e.RetryAt), nullable(e.CheckedAt), e.AttemptBase)
		return stored.report(), err
	}
	id, err := newID(l.now)
	if err != nil {
		return fleet.Report{}, err
	}
	err = x.row(ctx, &stored, insertReportSQL, id, l.row.ID, e.AdapterName, string(e.Phase), e.Message, document(e.Data),
		e.ObservedGeneration, e.Attempt, e.AttemptBase, nullable(e.RetryAt), nullable(e.CheckedAt), e.LastTransitionTime.Time, l.now)
	return stored.report(), err
}

// reported makes r the adapter's latest, rolls up and reschedules.
func (s *Store) reported(ctx context.Context, x *tx, t fleet.TypeInfo, l locked, prev previous, e entry, r fleet.Report) (fleet.Phase, error) {
	if !e.folds {
		if err := x.exec(ctx, upsertReportSQL, l.row.ID, r.AdapterName, r.ID, r.Message, document(r.Data)); err != nil {
			return "", err
		}
	}
	status := rollup.Status(rollup.Input{
		Required: s.required[t.Type], Generation: l.row.Generation, Reported: true, Now: fleet.At(l.now),
		Adapters: withReport(l.Resource.Status.Adapters, r), Previous: l.Resource.Status,
	})
	if err := x.exec(ctx, saveStatusSQL, l.row.ID, statusJSON(status), l.now); err != nil {
		return "", err
	}
	var wakes []wake
	if e.RetryAt != nil {
		wakes = append(wakes, wake{e.RetryAt.Time, fleet.Retry})
	}
	if r.Phase == fleet.ReportComplete && prev.phase != fleet.ReportComplete && status.Phase != fleet.Ready {
		wakes = append(wakes, wake{l.now, fleet.AdapterCompleted})
	}
	return status.Phase, x.reschedule(ctx, l.row.ID, l.row.Generation, status, &l.now, wakes)
}

// withReport returns the adapters with r in the place of its adapter's.
func withReport(adapters []fleet.AdapterStatus, r fleet.Report) []fleet.AdapterStatus {
	return append(withoutAdapter(adapters, r.AdapterName), fleet.AdapterStatus{
		AdapterName: r.AdapterName, Phase: r.Phase, ObservedGeneration: r.ObservedGeneration,
		Attempt: r.Attempt, AttemptBase: r.AttemptBase, RetryAt: r.RetryAt, CheckedAt: r.CheckedAt,
		Message: r.Message, LastTransitionTime: r.LastTransitionTime,
	})
}

func withoutAdapter(adapters []fleet.AdapterStatus, name string) []fleet.AdapterStatus {
	return slices.DeleteFunc(slices.Clone(adapters), func(a fleet.AdapterStatus) bool { return a.AdapterName == name })
}

// previous is an adapter's newest report on one generation; zero if there is none.
type previous struct {
	id          string
	phase       fleet.ReportPhase
	attempt     int
	sameContent bool // message and data are those of the new report
	over        bool // its partition has ended
}

// entry is a report as it would stand in the history.
type entry struct {
	fleet.Report
	folds bool // it repeats the previous one
}

// judge completes a report on a resource whose generation is current, or says
// why it is refused. It is pure; now is the moment of storing.
func judge(current int64, prev previous, n fleet.NewReport, now time.Time) (entry, error) {
	e := entry{Report: fleet.Report{
		AdapterName: n.AdapterName, Phase: n.Phase, Message: n.Message, Data: n.Data, LastTransitionTime: fleet.At(now),
		ObservedGeneration: n.ObservedGeneration, Attempt: n.Attempt, AttemptBase: n.AttemptBase, CheckedAt: n.CheckedAt,
	}}
	if e.ObservedGeneration == 0 {
		e.ObservedGeneration = current
	}
	if e.Attempt == 0 {
		e.Attempt = max(prev.attempt, 1)
	}
	if n.LastTransitionTime != nil && !n.LastTransitionTime.IsZero() {
		e.LastTransitionTime = *n.LastTransitionTime
	}
	if n.RetryAfter != "" {
		d, err := time.ParseDuration(n.RetryAfter)
		if err != nil || d < 0 {
			return e, invalid("/retry_after", "%q is not a duration such as 90s, or is negative", n.RetryAfter)
		}
		at := fleet.At(now.Add(min(d, longest)))
		e.RetryAt = &at
	}
	switch {
	case e.ObservedGeneration > current:
		return e, invalid("/observed_generation", "%d does not exist yet; the current generation is %d", e.ObservedGeneration, current)
	case e.ObservedGeneration < current && e.Phase == fleet.ReportRunning:
		return e, fleet.Errorf(fleet.StaleGeneration, "generation %d is over; the current one is %d", e.ObservedGeneration, current)
	case e.Attempt < prev.attempt:
		return e, fleet.Errorf(fleet.Superseded, "attempt %d is over; attempt %d was reported", e.Attempt, prev.attempt)
	case e.Attempt == prev.attempt && prev.phase.Final() && !e.Phase.Final():
		return e, fleet.Errorf(fleet.Superseded, "attempt %d has ended: %s", e.Attempt, prev.phase)
	}
	e.folds = prev.id != "" && !prev.over && prev.sameContent && e.Phase == prev.phase && e.Attempt == prev.attempt
	return e, nil
}
