package schedule

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Settings of the connections for the due query, whose indexes are made for
// its one plan. Statistics that are old, or rows that were not vacuumed yet,
// would have PostgreSQL sort and fetch instead, most of all under load.
var Settings = map[string]string{
	"enable_bitmapscan": "off",
	"enable_seqscan":    "off",
	"plan_cache_mode":   "force_generic_plan",
}

// Query says what is asked of the schedule. Woken and Expired are its two
// parts; asking for neither asks for both.
type Query struct {
	Selector labels.Selector // nil = everything
	Backoff  fleet.Backoff
	Woken    bool   // what something woke
	Expired  bool   // what was not heard of for a whole backoff, and is not woken
	Limit    int    // at most so many; 0 = 100, never more than 1000
	Continue string // from the list before
}

// dueRow is one due resource; a page without any is one row of NULLs, so that
// the clock of the answer always arrives.
type dueRow struct {
	AsOf           time.Time      `db:"as_of"`
	Part           sql.NullInt64  `db:"part"` // 0 woken, 1 expired
	ID             sql.NullString `db:"id"`
	Generation     sql.NullInt64  `db:"generation"`
	Phase          sql.NullString `db:"phase"`
	TransitionedAt sql.NullTime   `db:"transitioned_at"`
	Wakes          sql.NullInt64  `db:"wakes"`
	DueAt          sql.NullTime   `db:"due_at"`
	WakeReason     sql.NullString `db:"wake_reason"`
}

// Due reads one page of what is due: woken first, then longest due, then id.
// Its cost follows the number of resources that are due, never the fleet's.
func (s *Schedule) Due(ctx context.Context, t fleet.TypeInfo, q Query) (fleet.DueList, error) {
	out := fleet.DueList{Kind: "DueList", Items: []fleet.DueItem{}}
	names, err := database.TablesFor(t)
	if err != nil {
		return out, err
	}
	if !q.Woken && !q.Expired {
		q.Woken, q.Expired = true, true
	}
	query := page.Fingerprint("due", t.Type, page.SelectorText(q.Selector), q.Backoff, q.Woken, q.Expired)
	from, err := page.Read(q.Continue, query)
	if err != nil {
		return out, err
	}
	shards, rest := selector.Split(q.Selector, s.shardKey)
	wide := false
	if !shards.Only {
		if wide, err = s.spread.wide(ctx, s.due, names); err != nil {
			return out, database.Outward(ctx, "count shards of "+string(t.Type), err)
		}
	}
	limit := page.Size(q.Limit)
	text, args := Statement(q, from, shards, rest, wide, limit+1)
	rows := make([]dueRow, 0, limit+1)
	if err := s.due.Read(ctx, &rows, names.SQL(text), args...); err != nil {
		return out, database.Outward(ctx, "list what is due of "+string(t.Type), err)
	}
	out.AsOf = fleet.At(rows[0].AsOf)
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		out.Continue = page.Place{Query: query, ID: last.ID.String, At: last.DueAt.Time, Woken: last.Part.Int64 == 0}.String()
	}
	out.Items = make([]fleet.DueItem, 0, len(rows))
	for _, r := range rows {
		if r.ID.Valid {
			out.Items = append(out.Items, r.item())
		}
	}
	return out, nil
}

func (r dueRow) item() fleet.DueItem {
	woken := r.Part.Int64 == 0
	item := fleet.DueItem{
		ID: r.ID.String, Generation: r.Generation.Int64, Phase: fleet.Phase(r.Phase.String),
		LastTransitionTime: fleet.At(r.TransitionedAt.Time), Reason: fleet.BackoffExpired,
		Token: Token{ID: r.ID.String, Wakes: r.Wakes.Int64, Woken: woken}.String(),
	}
	if woken {
		item.Reason = fleet.Reason(r.WakeReason.String)
	}
	return item
}

// Pieces of the due query. A piece is a range of one index for one value of the
// shard key, and for the expired also of ready; within it the index's order is
// the page's order, so that no piece reads more than a page.
const (
	dueColumns = `id, generation, phase, transitioned_at, wakes`

	wokenPiece = `
		SELECT 0 AS part, s.* FROM %[1]s CROSS JOIN LATERAL (
			SELECT ` + dueColumns + `, wake_at AS due_at, wake_reason FROM {schedule}
			WHERE %[2]s AND wake_at IS NOT NULL AND wake_at <= (SELECT now FROM clock)
				AND (wake_at, id) > ($%[4]d::timestamptz, $%[5]d::uuid) AND %[3]s
			ORDER BY wake_at, id LIMIT $1) s`

	expiredPiece = `
		SELECT 1 AS part, s.* FROM %[1]s
		CROSS JOIN (VALUES (true, $2::bigint * interval '1 microsecond'), (false, $3::bigint * interval '1 microsecond'))
			AS backoffs (state, backoff)
		CROSS JOIN LATERAL (
			SELECT ` + dueColumns + `, base + backoffs.backoff AS due_at, NULL::text AS wake_reason FROM {schedule}
			WHERE %[2]s AND ready = backoffs.state AND base <= (SELECT now FROM clock) - backoffs.backoff
				AND (base, id) > ($%[4]d::timestamptz - backoffs.backoff, $%[5]d::uuid)
				AND (wake_at IS NULL OR wake_at > (SELECT now FROM clock)) AND %[3]s
			ORDER BY base, id LIMIT $1) s`

	dueFrame = `
		WITH RECURSIVE clock AS MATERIALIZED (SELECT clock_timestamp() AS now), %s
		SELECT clock.now AS as_of, due.* FROM clock LEFT JOIN (%s
			ORDER BY part, due_at, id LIMIT $1) AS due ON true
		ORDER BY part, due_at, id`

	// givenKeys are the values that the selector names.
	givenKeys = `keys AS MATERIALIZED (SELECT unnest($%d::text[]) AS shard_key)`

	// everyKey hops over the index from value to value: three pages each. The
	// values are read, not remembered, so that a new one is never missed.
	everyKey = `hops AS (
			(SELECT shard_key FROM {schedule} ORDER BY shard_key LIMIT 1)
			UNION ALL
			SELECT (SELECT n.shard_key FROM {schedule} n WHERE n.shard_key > hops.shard_key ORDER BY n.shard_key LIMIT 1)
			FROM hops WHERE hops.shard_key IS NOT NULL)`

	otherKeys = everyKey + `,
		keys AS MATERIALIZED (SELECT shard_key FROM hops WHERE shard_key IS NOT NULL AND shard_key <> ALL ($%d::text[]))`

	// noKeys is for a shard key of very many values: one scan of the index.
	noKeys = `keys AS MATERIALIZED (SELECT $%d::text[] AS without)`
)

// Statement is the statement of a page, which tests explain, of constants alone, and its arguments.
func Statement(q Query, from page.Place, shards selector.Shards, rest labels.Selector, wide bool, limit int) (string, []any) {
	args := []any{limit}
	if q.Expired {
		args = append(args, Micros(q.Backoff.Ready), Micros(q.Backoff.NotReady))
	}
	add := func(arg any) int { args = append(args, arg); return len(args) }
	keys, key := otherKeys, "shard_key = keys.shard_key"
	values := shards.Not
	switch {
	case shards.Only:
		keys, values = givenKeys, shards.In
	case wide:
		keys, key = noKeys, "shard_key <> ALL (keys.without)"
	}
	keys = fmt.Sprintf(keys, add(pq.StringArray(append([]string{}, values...))))
	filter, more := selector.SQL(rest, "labels", len(args)+1)
	args = append(args, more...)

	var pieces string
	piece := func(text string, started bool) {
		at, id := any("-infinity"), database.NullID
		if started {
			at, id = from.At, from.ID
		}
		if pieces != "" {
			pieces += " UNION ALL "
		}
		atArg := add(at)
		pieces += fmt.Sprintf(text, "keys", key, filter, atArg, add(id))
	}
	if q.Woken && (from.ID == "" || from.Woken) {
		piece(wokenPiece, from.ID != "")
	}
	if q.Expired {
		piece(expiredPiece, from.ID != "" && !from.Woken)
	}
	return fmt.Sprintf(dueFrame, keys, pieces), args
}

// longest is the longest backoff that the database reckons with.
const longest = 100 * 365 * 24 * time.Hour

// Micros is a backoff in the clock's unit: no shorter than what was asked, and
// never so long that moments run out.
func Micros(d time.Duration) int64 {
	return (min(max(d, 0), longest) + time.Microsecond - 1).Microseconds()
}
