package coverage

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// CoverageFor is how long a coverage is answered again before it is
	// computed anew, by whichever replica.
	CoverageFor = time.Minute
	// coverageTime bounds the computation, because its snapshot holds up vacuum.
	coverageTime = 10 * time.Second
	// maxShards bounds the live shards of a resource type.
	maxShards = 1000
	// foundIDs is how many ids are told of what is not covered, or twice.
	foundIDs = 100
)

const (
	coverageSQL = `
		SELECT answer, as_of > clock_timestamp() - $2 * interval '1 second' AS fresh
		FROM coverage WHERE resource_type = $1 AND answer <> ''`

	// lockCoverageSQL keeps other replicas from computing the same.
	lockCoverageSQL = `
		INSERT INTO coverage AS c (resource_type, as_of, answer) VALUES ($1, '-infinity', '')
		ON CONFLICT (resource_type) DO UPDATE SET resource_type = excluded.resource_type
		RETURNING answer, as_of > clock_timestamp() - $2 * interval '1 second' AS fresh`

	keepCoverageSQL = `UPDATE coverage SET as_of = $2, answer = $3 WHERE resource_type = $1`

	liveShardsSQL = `
		SELECT ` + registry.ShardColumns + ` FROM shards s
		WHERE s.resource_type = $1 AND ` + registry.ShardEnd + ` > clock_timestamp() ORDER BY s.name LIMIT $2`
)

type keptCoverage struct {
	Answer string `db:"answer"`
	Fresh  bool   `db:"fresh"`
}

func (k keptCoverage) coverage() (out fleet.Coverage, err error) {
	if err = json.Unmarshal([]byte(k.Answer), &out); err != nil {
		err = fmt.Errorf("read the kept coverage: %w", err)
	}
	return out, err
}

// Comparison is of the live shards with the fleet.
type Comparison struct {
	db        *database.Pool
	shardKey  string
	computing chan struct{} // full while a coverage is computed
}

// New compares what is in db, sharded by that label.
func New(db *database.Pool, shardKey string) *Comparison {
	return &Comparison{db, shardKey, make(chan struct{}, 1)}
}

// Coverage says how the live shards divide the resources of a type, exactly as
// of its AsOf, which is at most a minute old.
func (s *Comparison) Coverage(ctx context.Context, t fleet.TypeInfo) (fleet.Coverage, error) {
	kept, err := s.keptCoverage(ctx, t)
	if err != nil {
		return fleet.Coverage{}, err
	}
	if kept.Fresh {
		return kept.coverage()
	}
	ctx, cancel := context.WithTimeout(ctx, coverageTime)
	defer cancel()
	done, err := s.Turn(ctx)
	if err != nil {
		return fleet.Coverage{}, database.Outward(ctx, "wait for the coverage of "+string(t.Type), err)
	}
	defer done()
	var out fleet.Coverage
	err = s.db.Within(ctx, t, func(ctx context.Context, x *database.Tx) error {
		var kept keptCoverage
		if err := x.Row(ctx, &kept, lockCoverageSQL, string(t.Type), CoverageFor.Seconds()); err != nil {
			return err
		}
		if kept.Fresh { // another was faster
			out, err = kept.coverage()
			return err
		}
		if out, err = s.cover(ctx, x, t); err != nil {
			return err
		}
		return x.Exec(ctx, keepCoverageSQL, string(t.Type), out.AsOf.Time, database.JSON(out))
	})
	return out, database.Outward(ctx, "compute the coverage of "+string(t.Type), err)
}

// Turn waits until this replica computes no other coverage, so that one of its
// connections waits and works.
func (s *Comparison) Turn(ctx context.Context) (done func(), err error) {
	select {
	case s.computing <- struct{}{}:
		return func() { <-s.computing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// LastCoverage returns what was computed last, however old, and whether there
// is anything.
func (s *Comparison) LastCoverage(ctx context.Context, t fleet.TypeInfo) (fleet.Coverage, bool, error) {
	kept, err := s.keptCoverage(ctx, t)
	if err != nil || kept.Answer == "" {
		return fleet.Coverage{}, false, err
	}
	out, err := kept.coverage()
	return out, err == nil, err
}

func (s *Comparison) keptCoverage(ctx context.Context, t fleet.TypeInfo) (keptCoverage, error) {
	var kept []keptCoverage
	if err := s.db.Read(ctx, &kept, coverageSQL, string(t.Type), CoverageFor.Seconds()); err != nil {
		return keptCoverage{}, database.Outward(ctx, "read the coverage of "+string(t.Type), err)
	}
	if len(kept) == 0 {
		return keptCoverage{}, nil
	}
	return kept[0], nil
}

// coverageRow is one line of the answer to the coverage's statement.
type coverageRow struct {
	AsOf   time.Time  `db:"as_of"`
	Kind   string     `db:"kind"`
	Shard  *int       `db:"shard"` // from 1
	N      *int64     `db:"n"`
	Shared *int64     `db:"shared"` // of those, matched by several
	Due    *int64     `db:"due"`
	Oldest *time.Time `db:"oldest"`
	ID     *string    `db:"id"`
}

func (s *Comparison) cover(ctx context.Context, x *database.Tx, t fleet.TypeInfo) (fleet.Coverage, error) {
	none := func() fleet.Found { return fleet.Found{IDs: []string{}} }
	out := fleet.Coverage{Kind: "Coverage", ResourceType: t.Type, Uncovered: none(), Overlapping: none(), Shards: []fleet.ShardCoverage{}}
	var live []registry.ShardRow
	if err := x.SelectContext(ctx, &live, liveShardsSQL, string(t.Type), maxShards+1); err != nil {
		return out, err
	}
	if len(live) > maxShards {
		return out, fleet.Errorf(fleet.Conflict, "more than %d shards of %s are live; that is more than can be compared", maxShards, t.Type)
	}
	for _, r := range live {
		out.Shards = append(out.Shards, fleet.ShardCoverage{Name: r.Name, Holder: r.Holder, Selector: r.Selector})
	}
	text, args, err := divisionSQL(live, s.shardKey)
	if err != nil {
		return out, err
	}
	var rows []coverageRow
	if err := x.SelectContext(ctx, &rows, x.SQL(text), args...); err != nil {
		return out, err
	}
	for _, r := range rows {
		out.AsOf = fleet.At(r.AsOf)
		r.into(&out)
	}
	return out, nil
}

func (r coverageRow) into(out *fleet.Coverage) {
	switch r.Kind {
	case "total":
		out.Total = *r.N
	case "uncovered":
		out.Uncovered.Count = *r.N
	case "overlapping":
		out.Overlapping.Count = *r.N
	case "uncovered id":
		out.Uncovered.IDs = append(out.Uncovered.IDs, *r.ID)
	case "overlapping id":
		out.Overlapping.IDs = append(out.Overlapping.IDs, *r.ID)
	case "shard":
		shard := &out.Shards[*r.Shard-1]
		shard.Matched, shard.Overlapping, shard.Pending, shard.OldestDue = *r.N, *r.Shared, *r.Due, database.Optional(r.Oldest)
	}
}

// divisionFrame groups the schedule by the shard key and by which demands on
// other labels (the mask) a row meets, and only then asks of each group which
// shards match it: their number multiplies groups, not rows. Without such
// demands one pass over the covering index is all. Ids are sorted as text, which
// is the same order, so that nobody walks all rows by id in search of a few.
const divisionFrame = `
	WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
	counted AS (
		SELECT shard_key, %[1]s AS mask, count(*) AS n, ARRAY[%[2]s]::bigint[] AS due, ARRAY[%[3]s]::timestamptz[] AS oldest
		FROM {schedule} GROUP BY 1, 2),
	signed AS MATERIALIZED (SELECT *, array_remove(ARRAY[%[4]s]::int[], NULL) AS shards FROM counted)
	SELECT clock.now AS as_of, part.* FROM clock CROSS JOIN (
		SELECT 'total' AS kind, NULL::int AS shard, coalesce(sum(n), 0)::bigint AS n, NULL::bigint AS shared, NULL::bigint AS due,
			NULL::timestamptz AS oldest, NULL::uuid AS id FROM signed
		UNION ALL SELECT 'uncovered', NULL, coalesce(sum(n), 0)::bigint, NULL, NULL, NULL, NULL FROM signed WHERE cardinality(shards) = 0
		UNION ALL SELECT 'overlapping', NULL, coalesce(sum(n), 0)::bigint, NULL, NULL, NULL, NULL FROM signed WHERE cardinality(shards) > 1
		UNION ALL SELECT 'shard', i, sum(n)::bigint, coalesce(sum(n) FILTER (WHERE cardinality(shards) > 1), 0)::bigint,
			sum(due[(%[5]s)[i]])::bigint, min(oldest[(%[5]s)[i]]), NULL
			FROM signed, unnest(shards) AS i GROUP BY i
		UNION ALL (SELECT 'uncovered id', NULL, NULL, NULL, NULL, NULL, s.id FROM {schedule} s JOIN signed g
			ON g.shard_key = s.shard_key AND g.mask = %[1]s WHERE cardinality(g.shards) = 0 ORDER BY s.id::text COLLATE "C" LIMIT %[6]s)
		UNION ALL (SELECT 'overlapping id', NULL, NULL, NULL, NULL, NULL, s.id FROM {schedule} s JOIN signed g
			ON g.shard_key = s.shard_key AND g.mask = %[1]s WHERE cardinality(g.shards) > 1 ORDER BY s.id::text COLLATE "C" LIMIT %[6]s)
	) AS part`

// division builds the statement: constants chosen by what shards say, never
// anything of their words.
type division struct {
	args     []any
	masks    []string // conditions on labels other than the shard key
	backoffs []string // moments at which a row is due, by distinct backoffs
}

func (d *division) arg(v any, cast string) string {
	d.args = append(d.args, v)
	return fmt.Sprintf("$%d::%s", len(d.args), cast)
}

func divisionSQL(live []registry.ShardRow, shardKey string) (string, []any, error) {
	d := &division{}
	masks, backoffs := map[string]int{}, map[fleet.Backoff]int{}
	conditions, pairs := []string{}, pq.Int64Array{}
	for i, r := range live {
		sel, err := selector.Parse(r.Selector)
		if err != nil {
			return "", nil, fmt.Errorf("read the selector of shard %s: %w", r.Name, err)
		}
		shards, rest := selector.Split(sel, shardKey)
		condition := d.onKey(shards)
		if text := rest.String(); !rest.Empty() {
			if _, ok := masks[text]; !ok {
				masks[text] = len(d.masks)
				sql, more := selector.SQL(rest, "labels", len(d.args)+1)
				d.masks, d.args = append(d.masks, sql), append(d.args, more...)
			}
			condition += fmt.Sprintf(" AND substr(mask, %d, 1) = '1'", masks[text]+1)
		}
		conditions = append(conditions, fmt.Sprintf("CASE WHEN %s THEN %d END", condition, i+1))
		b := fleet.Backoff{NotReady: time.Duration(r.NotReady), Ready: time.Duration(r.Ready)} // microseconds both
		if _, ok := backoffs[b]; !ok {
			backoffs[b] = len(d.backoffs) + 1
			d.backoffs = append(d.backoffs, fmt.Sprintf("least(wake_at, base + CASE WHEN ready THEN %s ELSE %s END * interval '1 microsecond')",
				d.arg(r.Ready, "bigint"), d.arg(r.NotReady, "bigint")))
		}
		pairs = append(pairs, int64(backoffs[b]))
	}
	text := fmt.Sprintf(divisionFrame, d.mask(), d.due("count(*) FILTER (WHERE %[1]s <= (SELECT now FROM clock))"),
		d.due("min(%[1]s) FILTER (WHERE %[1]s <= (SELECT now FROM clock))"), strings.Join(conditions, ", "),
		d.arg(pairs, "int[]"), d.arg(foundIDs, "int"))
	return text, d.args, nil
}

// onKey is what a shard demands of the shard key.
func (d *division) onKey(s selector.Shards) string {
	switch {
	case s.Only:
		return "shard_key = ANY (" + d.arg(pq.StringArray(append([]string{}, s.In...)), "text[]") + ")"
	case len(s.Not) > 0:
		return "shard_key <> ALL (" + d.arg(pq.StringArray(s.Not), "text[]") + ")"
	}
	return "true"
}

// mask spells one character for each demand on other labels.
func (d *division) mask() string {
	parts := []string{"''::text"}
	for _, m := range d.masks {
		parts = append(parts, "CASE WHEN "+m+" THEN '1' ELSE '0' END")
	}
	return "(" + strings.Join(parts, " || ") + ")"
}

func (d *division) due(aggregate string) string {
	parts := []string{}
	for _, at := range d.backoffs {
		parts = append(parts, fmt.Sprintf(aggregate, at))
	}
	return strings.Join(parts, ", ")
}
