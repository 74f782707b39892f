package postgres

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
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

// Desk takes reports, and what changes them afterwards.
type Desk struct {
	db     *database.Pool
	under  *resource.Locker
	split  func(table, id string, now time.Time) bool // whether a partition ends between an id and now
	groups map[fleet.ResourceType]*groups
	log    *slog.Logger
}

func newDesk(db *database.Pool, under *resource.Locker, split func(table, id string, now time.Time) bool, log *slog.Logger) *Desk {
	s := &Desk{db: db, under: under, split: split, groups: map[fleet.ResourceType]*groups{}, log: log}
	for _, t := range fleet.Types() {
		s.groups[t.Type] = &groups{store: func(ctx context.Context, group []*submission) error { return s.together(ctx, t, group) }}
	}
	return s
}

// wait returns when nothing is being stored.
func (s *Desk) wait() {
	for _, g := range s.groups {
		g.wait()
	}
}

// Report stores what an adapter says, rolls the resource up and reschedules
// it, in one transaction, which may be that of other reports too; see [decide].
// A report that ends a deletion makes the tombstone in the same transaction.
func (s *Desk) Report(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, n fleet.NewReport) (fleet.Report, error) {
	g, ok := s.groups[t.Type]
	if !ok || !database.IsID(id) {
		return fleet.Report{}, database.NotFound(t, id)
	}
	m := &submission{scope: sc, id: id, report: n}
	err := errAlone
	if !audit.AuthorOf(ctx).Admin { // whose report is noted, which a group does not do
		err = g.submit(ctx, m)
	}
	if errors.Is(err, errAlone) {
		err = s.alone(ctx, t, m)
	}
	if err != nil {
		return fleet.Report{}, database.Outward(ctx, "report on "+t.Kind, err)
	}
	if !m.folded {
		s.log.DebugContext(ctx, "reported", "cluster", id, "adapter", m.out.AdapterName, "phase", string(m.out.Phase),
			"generation", m.out.ObservedGeneration, "attempt", m.out.Attempt, "message", rollup.Cut(m.out.Message))
	}
	s.under.PhaseChanged(ctx, id, m.before, m.after)
	return m.out, nil
}

// alone stores a report in a transaction of its own.
func (s *Desk) alone(ctx context.Context, t fleet.TypeInfo, m *submission) error {
	return s.under.UnderLock(ctx, t, m.scope, m.id, func(ctx context.Context, l resource.Locked, owner *resource.Locked) error {
		m.before, m.after = l.Resource.Status.Phase, l.Resource.Status.Phase
		in, err := s.under.Gather(ctx, l)
		if err != nil {
			return err
		}
		prev, err := follows(ctx, l, m.report)
		if err != nil {
			return err
		}
		prev.split = prev.id != "" && s.split(l.Tx.Statuses, prev.id, l.Now)
		v, err := decide(in, prev, m.report)
		if err != nil {
			return err
		}
		m.folded = v.folds
		if m.out, err = store(ctx, l, prev.id, v.entry, l.Now); err != nil {
			return err
		}
		if audit.AuthorOf(ctx).Admin {
			if err := l.Audit(ctx, fleet.ActionReport, l.Row.Generation); err != nil {
				return err
			}
		}
		if v.Outcome == nil {
			return l.Tx.Exec(ctx, resource.TouchSQL, m.id, l.Now)
		}
		if !m.folded {
			if err := setLatest(ctx, l, m.out); err != nil {
				return err
			}
		}
		m.after, err = s.under.Settle(ctx, l, owner, *v.Outcome)
		return err
	})
}

// follows finds the adapter's newest report on the generation that n is about.
// For the current generation the history is not read.
func follows(ctx context.Context, l resource.Locked, n fleet.NewReport) (previous, error) {
	var found struct {
		ID      string `db:"id"`
		Phase   string `db:"phase"`
		Attempt int    `db:"attempt"`
		Base    int    `db:"attempt_base"`
		Same    bool   `db:"same"`
	}
	var prev previous
	var err error
	if n.ObservedGeneration != 0 && n.ObservedGeneration != l.Row.Generation {
		err = l.Tx.Row(ctx, &found, olderSQL, l.Row.ID, n.AdapterName, n.ObservedGeneration, n.Message, database.Document(n.Data))
		prev.phase, prev.attempt, prev.base = fleet.ReportPhase(found.Phase), found.Attempt, found.Base
	} else {
		latest, ok := l.Resource.Status.Adapter(n.AdapterName)
		if !ok || latest.ObservedGeneration != l.Row.Generation {
			return previous{}, nil
		}
		err = l.Tx.Row(ctx, &found, latestSQL, l.Row.ID, n.AdapterName, n.Message, database.Document(n.Data))
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
func store(ctx context.Context, l resource.Locked, previous string, e entry, at time.Time) (fleet.Report, error) {
	var stored reportRow
	if e.folds {
		err := l.Tx.Row(ctx, &stored, foldSQL, previous, at, database.Nullable(e.RetryAt), database.Nullable(e.CheckedAt), e.AttemptBase)
		return stored.report(l.Cluster()), err
	}
	id, err := database.NewID(at)
	if err != nil {
		return fleet.Report{}, err
	}
	err = l.Tx.Row(ctx, &stored, insertReportSQL, id, l.Row.ID, e.AdapterName, string(e.Phase), e.Message, database.Document(e.Data),
		e.ObservedGeneration, e.Attempt, e.AttemptBase, database.Nullable(e.RetryAt), database.Nullable(e.CheckedAt), e.LastTransitionTime.Time, at)
	return stored.report(l.Cluster()), err
}

// setLatest makes r its adapter's latest report, in full.
func setLatest(ctx context.Context, l resource.Locked, r fleet.Report) error {
	return l.Tx.Exec(ctx, upsertReportSQL, l.Row.ID, r.AdapterName, r.ID, r.Message, database.Document(r.Data))
}
