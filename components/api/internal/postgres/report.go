package postgres

import (
	"context"
	"database/sql"
	"errors"
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
		SELECT id, phase, attempt, attempt_base, message = $4 AND data = $5::jsonb AS same
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
// it, in one transaction, which may be that of other reports too; see [decide].
// A report that ends a deletion makes the tombstone in the same transaction.
func (s *Store) Report(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, n fleet.NewReport) (fleet.Report, error) {
	g, ok := s.groups[t.Type]
	if !ok || !isID(id) {
		return fleet.Report{}, notFound(t, id)
	}
	m := &submission{scope: sc, id: id, report: n}
	err := errAlone
	if !authorOf(ctx).Admin { // whose report is noted, which a group does not do
		err = g.submit(ctx, m)
	}
	if errors.Is(err, errAlone) {
		err = s.alone(ctx, t, m)
	}
	if err != nil {
		return fleet.Report{}, outward(ctx, "report on "+t.Kind, err)
	}
	if !m.folded {
		s.log.DebugContext(ctx, "reported", "cluster", id, "adapter", m.out.AdapterName, "phase", string(m.out.Phase),
			"generation", m.out.ObservedGeneration, "attempt", m.out.Attempt, "message", rollup.Cut(m.out.Message))
	}
	s.phaseChanged(ctx, id, m.before, m.after)
	return m.out, nil
}

// alone stores a report in a transaction of its own.
func (s *Store) alone(ctx context.Context, t fleet.TypeInfo, m *submission) error {
	return s.underLock(ctx, t, m.scope, m.id, func(ctx context.Context, l locked, owner *locked) error {
		m.before, m.after = l.Resource.Status.Phase, l.Resource.Status.Phase
		in, err := s.gather(ctx, l)
		if err != nil {
			return err
		}
		prev, err := l.previous(ctx, m.report)
		if err != nil {
			return err
		}
		prev.split = prev.id != "" && s.split(l.tx.statuses, prev.id, l.now)
		v, err := decide(in, prev, m.report)
		if err != nil {
			return err
		}
		m.folded = v.folds
		if m.out, err = l.store(ctx, prev.id, v.entry, l.now); err != nil {
			return err
		}
		if authorOf(ctx).Admin {
			if err := l.audit(ctx, fleet.ActionReport, l.row.Generation); err != nil {
				return err
			}
		}
		if v.outcome == nil {
			return l.tx.exec(ctx, touchSQL, m.id, l.now)
		}
		if !m.folded {
			if err := l.latest(ctx, m.out); err != nil {
				return err
			}
		}
		m.after, err = s.settle(ctx, l, owner, *v.outcome)
		return err
	})
}

// previous finds the adapter's newest report on the generation that n is about.
// For the current generation the history is not read.
func (l locked) previous(ctx context.Context, n fleet.NewReport) (previous, error) {
	var found struct {
		ID      string `db:"id"`
		Phase   string `db:"phase"`
		Attempt int    `db:"attempt"`
		Base    int    `db:"attempt_base"`
		Same    bool   `db:"same"`
	}
	var prev previous
	var err error
	if n.ObservedGeneration != 0 && n.ObservedGeneration != l.row.Generation {
		err = l.tx.row(ctx, &found, olderSQL, l.row.ID, n.AdapterName, n.ObservedGeneration, n.Message, document(n.Data))
		prev.phase, prev.attempt, prev.base = fleet.ReportPhase(found.Phase), found.Attempt, found.Base
	} else {
		latest, ok := l.Resource.Status.Adapter(n.AdapterName)
		if !ok || latest.ObservedGeneration != l.row.Generation {
			return previous{}, nil
		}
		err = l.tx.row(ctx, &found, latestSQL, l.row.ID, n.AdapterName, n.Message, document(n.Data))
		prev = following(latest, found.ID, found.Same)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return previous{}, nil
	}
	prev.id, prev.sameContent = found.ID, found.Same
	return prev, err
}

// following is what a report on the current generation follows: its adapter's
// latest, of which the database knows the id and whether it says the same.
func following(latest fleet.AdapterStatus, id string, same bool) previous {
	return previous{
		id: id, sameContent: same, phase: latest.Phase, attempt: latest.Attempt, base: latest.AttemptBase,
		retryAt: latest.RetryAt, checkedAt: latest.CheckedAt, transition: latest.LastTransitionTime,
	}
}

// store folds the entry into the previous one, or appends it, at a moment that
// no other entry of the resource has.
func (l locked) store(ctx context.Context, previous string, e entry, at time.Time) (fleet.Report, error) {
	var stored reportRow
	if e.folds {
		err := l.tx.row(ctx, &stored, foldSQL, previous, at, nullable(e.RetryAt), nullable(e.CheckedAt), e.AttemptBase)
		return stored.report(l.cluster()), err
	}
	id, err := newID(at)
	if err != nil {
		return fleet.Report{}, err
	}
	err = l.tx.row(ctx, &stored, insertReportSQL, id, l.row.ID, e.AdapterName, string(e.Phase), e.Message, document(e.Data),
		e.ObservedGeneration, e.Attempt, e.AttemptBase, nullable(e.RetryAt), nullable(e.CheckedAt), e.LastTransitionTime.Time, at)
	return stored.report(l.cluster()), err
}

// latest makes r its adapter's latest report, in full.
func (l locked) latest(ctx context.Context, r fleet.Report) error {
	return l.tx.exec(ctx, upsertReportSQL, l.row.ID, r.AdapterName, r.ID, r.Message, document(r.Data))
}

// settle stores what reports, a correction or a new configuration make of a
// resource, and ends its deletion where that is over.
func (s *Store) settle(ctx context.Context, l locked, owner *locked, o outcome) (fleet.Phase, error) {
	if o.over && owner == nil && l.tx.info.Owner != "" {
		return "", errOwnerFirst
	}
	if err := l.tx.exec(ctx, saveStatusSQL, l.row.ID, statusJSON(o.status), l.now, o.worked); err != nil {
		return "", err
	}
	if !o.over {
		return o.status.Phase, l.tx.reschedule(ctx, l.row.ID, l.row.Generation, o.status, o.plan)
	}
	l.Resource.Status = o.status
	if err := s.entomb(ctx, l); err != nil {
		return "", err
	}
	if owner == nil {
		return fleet.Deleted, nil
	}
	return fleet.Deleted, s.ownedGone(ctx, *owner)
}
