package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// lockManySQL leaves out what somebody else writes: its reports go alone, so
	// that they alone wait. What a group does not need, such as specs, is not read.
	lockManySQL = `
		WITH locked AS MATERIALIZED (
			SELECT id, owner_id, tenant, status, generation, deletion_at, touched_at
			FROM {resources} WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED)
		SELECT locked.*, clock_timestamp() AS now FROM locked`

	// latestManySQL is latestSQL for many, by their place in the question.
	latestManySQL = `
		SELECT g.n, r.status_id AS id, r.message = g.message AND r.data = g.data::jsonb AS same
		FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[]) AS g (n, id, adapter, message, data)
		JOIN {reports} r ON r.{subject} = g.id AND r.adapter_name = g.adapter`

	// saveManySQL does for many what insertReportSQL, foldSQL, upsertReportSQL,
	// saveStatusSQL and scheduleSQL do for one. Rows of the schedule are locked
	// in the order of their ids, as a recording of published events locks them.
	// No fold is into a partition before that of $4.
	saveManySQL = `
		WITH entry AS MATERIALIZED (
			SELECT * FROM json_to_recordset($1::json) AS e (id uuid, subject uuid, adapter text, phase text, message text, data jsonb,
				generation bigint, attempt integer, base integer, retry_at timestamptz, checked_at timestamptz,
				transition timestamptz, at timestamptz)),
		fold AS MATERIALIZED (
			SELECT * FROM json_to_recordset($2::json) AS f (fold_id uuid, fold_at timestamptz, fold_retry timestamptz,
				fold_checked timestamptz, fold_base integer)),
		change AS MATERIALIZED (
			SELECT * FROM json_to_recordset($3::json) AS c (id uuid, status jsonb, at timestamptz, reports bigint, worked boolean,
				ready boolean, phase text, generation bigint, transition timestamptz, wakes bigint, wake_at timestamptz, reason text,
				retries timestamptz[])),
		inserted AS (
			INSERT INTO {statuses} (id, {subject}, adapter_name, phase, message, data, observed_generation, attempt,
				attempt_base, retry_at, checked_at, last_transition_time, reports, created_at, last_reported_at)
			SELECT id, subject, adapter, phase, message, data, generation, attempt, base, retry_at, checked_at, transition, 1, at, at
			FROM entry RETURNING ` + reportColumns + `),
		folded AS (
			UPDATE {statuses} SET reports = reports + 1, last_reported_at = fold_at,
				retry_at = coalesce(fold_retry, retry_at), checked_at = coalesce(fold_checked, checked_at),
				attempt_base = greatest(attempt_base, fold_base)
			FROM fold WHERE id = fold_id AND id >= $4::uuid RETURNING ` + reportColumns + `),
		latest AS (
			INSERT INTO {reports} ({subject}, adapter_name, status_id, message, data)
			SELECT subject, adapter, id, message, data FROM entry
			ON CONFLICT ({subject}, adapter_name) DO UPDATE
			SET status_id = excluded.status_id, message = excluded.message, data = excluded.data),
		saved AS (
			UPDATE {resources} r SET status = c.status, reports_version = r.reports_version + c.reports, touched_at = c.at,
				worked = r.worked OR c.worked
			FROM change c WHERE r.id = c.id),
		places AS MATERIALIZED (
			SELECT s.id FROM {schedule} s WHERE s.id IN (SELECT id FROM change) ORDER BY s.id FOR UPDATE),
		placed AS (
			UPDATE {schedule} s SET ready = c.ready, phase = c.phase, generation = c.generation, transitioned_at = c.transition,
				wakes = s.wakes + c.wakes, repeat = 0,
				base = CASE WHEN s.base = 'infinity' THEN s.base ELSE c.at END,
				wake_at = CASE WHEN s.base = 'infinity' THEN NULL ELSE least(s.wake_at, c.wake_at) END,
				wake_reason = CASE WHEN s.base = 'infinity' THEN NULL
					WHEN c.wake_at < coalesce(s.wake_at, 'infinity') THEN c.reason ELSE s.wake_reason END,
				later = CASE WHEN s.base = 'infinity' OR s.later IS NULL AND c.wake_at IS NULL THEN NULL
					ELSE (SELECT array_agg(f.moment) FROM (
						SELECT DISTINCT m AS moment
						FROM unnest(coalesce(s.later, '{}') || c.retries || CASE WHEN s.wake_reason = 'retry' THEN s.wake_at END) m
						WHERE m > least(s.wake_at, c.wake_at) ORDER BY m LIMIT $5::int) f) END
			FROM change c JOIN places USING (id) WHERE s.id = c.id)
		SELECT * FROM inserted UNION ALL SELECT * FROM folded`
)

// newEntry, newFold and newChange are rows of saveManySQL.
type (
	newEntry struct {
		ID         string          `json:"id"`
		Subject    string          `json:"subject"`
		Adapter    string          `json:"adapter"`
		Phase      string          `json:"phase"`
		Message    string          `json:"message"`
		Data       json.RawMessage `json:"data"`
		Generation int64           `json:"generation"`
		Attempt    int             `json:"attempt"`
		Base       int             `json:"base"`
		RetryAt    *time.Time      `json:"retry_at"`
		CheckedAt  *time.Time      `json:"checked_at"`
		Transition time.Time       `json:"transition"`
		At         time.Time       `json:"at"`
	}
	newFold struct {
		ID        string     `json:"fold_id"`
		At        time.Time  `json:"fold_at"`
		RetryAt   *time.Time `json:"fold_retry"`
		CheckedAt *time.Time `json:"fold_checked"`
		Base      int        `json:"fold_base"`
	}
	newChange struct {
		ID         string       `json:"id"`
		Status     fleet.Status `json:"status"`
		At         time.Time    `json:"at"`
		Reports    int          `json:"reports"`
		Worked     bool         `json:"worked"`
		Ready      bool         `json:"ready"`
		Phase      string       `json:"phase"`
		Generation int64        `json:"generation"`
		Transition time.Time    `json:"transition"`
		Wakes      int          `json:"wakes"`
		WakeAt     *time.Time   `json:"wake_at"`
		Reason     string       `json:"reason"`
		Retries    []string     `json:"retries"`
	}
)

// subject is a resource of a group, moved on by one report after the other.
type subject struct {
	resource.Locked
	reports int
	worked  bool
	wakes   []schedule.Wake
}

// together stores a group in one transaction. What comes of each report is the
// report's; an error is everybody's. A report that a group cannot store says
// errAlone, and so do all of a group that the database refuses: one of them
// cannot be stored, and nothing of it was.
func (s *Desk) together(ctx context.Context, t fleet.TypeInfo, group []*submission) error {
	err := s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) error {
		subjects, err := lockMany(ctx, x, group)
		if err != nil {
			return err
		}
		found, err := latestMany(ctx, x, group)
		if err != nil {
			return err
		}
		w := writes{at: map[string]*submission{}, folds: []newFold{}, entries: []newEntry{}}
		for i, m := range group {
			m.err = s.judge(subjects[m.id], found[i], m, &w)
		}
		return saveMany(ctx, x, subjects, &w)
	})
	if err == nil || database.Away(err) || fleet.ErrorCode(err) != fleet.Internal || ctx.Err() != nil {
		return err
	}
	return errAlone
}

func lockMany(ctx context.Context, x *database.Tx, group []*submission) (map[string]*subject, error) {
	ids := make(pq.StringArray, len(group))
	for i, m := range group {
		ids[i] = m.id
	}
	slices.Sort(ids)
	var rows []resource.Row
	if err := x.Rows(ctx, &rows, lockManySQL, slices.Compact(ids)); err != nil {
		return nil, err
	}
	subjects := make(map[string]*subject, len(rows))
	for _, r := range rows {
		l, err := resource.Hold(x, r)
		if err != nil {
			return nil, err
		}
		subjects[r.ID] = &subject{Locked: l}
	}
	return subjects, nil
}

// found is an adapter's latest report, as far as the database has to say.
type found struct {
	N    int64  `db:"n"`
	ID   string `db:"id"`
	Same bool   `db:"same"`
}

// latestMany finds what each report of the group follows, by its place there.
func latestMany(ctx context.Context, x *database.Tx, group []*submission) (map[int]found, error) {
	places, ids := make(pq.Int64Array, len(group)), make(pq.StringArray, len(group))
	adapters, messages, data := make(pq.StringArray, len(group)), make(pq.StringArray, len(group)), make(pq.StringArray, len(group))
	for i, m := range group {
		places[i], ids[i], adapters[i] = int64(i), m.id, m.report.AdapterName
		messages[i], data[i] = m.report.Message, database.Document(m.report.Data)
	}
	var rows []found
	if err := x.Rows(ctx, &rows, latestManySQL, places, ids, adapters, messages, data); err != nil {
		return nil, err
	}
	all := make(map[int]found, len(rows))
	for _, f := range rows {
		all[int(f.N)] = f
	}
	return all, nil
}

// writes gathers what a group stores.
type writes struct {
	entries []newEntry
	folds   []newFold
	at      map[string]*submission // by the id of the entry that it made or folds into
}

// judge decides on one report of a group as on one alone, and notes what it
// writes. What is gone or busy, what is being deleted, and reports on another
// generation go alone.
func (s *Desk) judge(l *subject, f found, m *submission, w *writes) error {
	if l == nil || !m.scope.Sees(l.Row.Tenant) || l.Deleting() ||
		m.report.ObservedGeneration != 0 && m.report.ObservedGeneration != l.Row.Generation {
		return errAlone
	}
	at := l.Now
	if l.reports > 0 {
		at = at.Add(time.Microsecond)
	}
	in := s.under.Input(l.Locked, nil)
	in.Now = fleet.At(at)
	prev := previous{}
	if latest, ok := l.Resource.Status.Adapter(m.report.AdapterName); ok && latest.ObservedGeneration == l.Row.Generation && f.ID != "" {
		prev = following(latest, f.ID, f.Same)
		prev.split = s.split(l.Tx.Statuses, f.ID, at)
	}
	v, err := decide(in, prev, m.report)
	if err != nil {
		return err
	}
	id := prev.id
	if v.folds {
		w.folds = append(w.folds, newFold{id, at, database.Nullable(v.RetryAt), database.Nullable(v.CheckedAt), v.AttemptBase})
	} else {
		if id, err = database.NewID(at); err != nil {
			return err
		}
		w.entries = append(w.entries, newEntry{
			ID: id, Subject: m.id, Adapter: v.AdapterName, Phase: string(v.Phase), Message: v.Message, Data: json.RawMessage(database.Document(v.Data)),
			Generation: v.ObservedGeneration, Attempt: v.Attempt, Base: v.AttemptBase, RetryAt: database.Nullable(v.RetryAt),
			CheckedAt: database.Nullable(v.CheckedAt), Transition: v.LastTransitionTime.Time, At: at,
		})
	}
	w.at[id] = m
	m.folded, m.before, m.after = v.folds, l.Resource.Status.Phase, v.Status.Phase
	l.Now, l.Resource.Status, l.reports, l.worked = at, v.Status, l.reports+1, l.worked || v.Worked
	l.wakes = append(l.wakes, v.Plan.Wakes...)
	return nil
}

func saveMany(ctx context.Context, x *database.Tx, subjects map[string]*subject, w *writes) error {
	changes := []newChange{}
	for id, l := range subjects {
		if l.reports == 0 {
			continue
		}
		first, at := schedule.Earliest(l.wakes)
		changes = append(changes, newChange{
			ID: id, Status: l.Resource.Status, At: l.Now, Reports: l.reports, Worked: l.worked,
			Ready: l.Resource.Status.Phase == fleet.Ready, Phase: string(l.Resource.Status.Phase), Generation: l.Row.Generation,
			Transition: l.Resource.Status.LastTransitionTime.Time, Wakes: len(l.wakes), WakeAt: at, Reason: string(first.Why), Retries: schedule.Retries(l.wakes),
		})
	}
	if len(changes) == 0 {
		return nil
	}
	oldest := database.MaxID
	for _, f := range w.folds {
		oldest = min(oldest, f.ID)
	}
	var rows []reportRow
	if err := x.Rows(ctx, &rows, saveManySQL, database.JSON(w.entries), database.JSON(w.folds), database.JSON(changes), oldest, fleet.MaxLater); err != nil {
		return err
	}
	if len(rows) != len(w.entries)+len(w.folds) {
		return fmt.Errorf("store reports: %d of %d entries were written", len(rows), len(w.entries)+len(w.folds))
	}
	for _, r := range rows {
		m := w.at[r.ID]
		m.out = r.report(subjects[m.id].Cluster())
	}
	return nil
}
