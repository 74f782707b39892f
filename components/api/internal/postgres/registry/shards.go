package registry

import (
	"context"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// shardColumns tell until when a shard is live: 15 s, or three of its poll
// intervals if that is longer, after it was renewed.
const (
	ShardEnd = `s.renewed_at + greatest(15000000, 3 * s.poll_interval) * interval '1 microsecond'`

	ShardColumns = `s.name, s.holder, s.resource_type, s.selector, s.not_ready, s.ready, s.poll_interval,
		s.registered_at, s.renewed_at, ` + ShardEnd + ` AS expires_at, clock_timestamp() AS now`
)

const (
	// holdShardSQL answers no row where another holder is live. The clock is
	// read once the row's lock is held.
	holdShardSQL = `
		INSERT INTO shards AS s (name, holder, resource_type, selector, not_ready, ready, poll_interval, registered_at, renewed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp())
		ON CONFLICT (name) DO UPDATE SET
			registered_at = CASE WHEN s.holder = excluded.holder THEN s.registered_at ELSE clock_timestamp() END,
			holder = excluded.holder, resource_type = excluded.resource_type, selector = excluded.selector,
			not_ready = excluded.not_ready, ready = excluded.ready, poll_interval = excluded.poll_interval,
			renewed_at = clock_timestamp()
		WHERE s.holder = excluded.holder OR ` + ShardEnd + ` <= clock_timestamp()
		RETURNING ` + ShardColumns

	shardSQL = `SELECT ` + ShardColumns + ` FROM shards s WHERE s.name = $1`

	shardsSQL = `
		SELECT ` + ShardColumns + ` FROM shards s
		WHERE ($1 = '' OR s.resource_type = $1) AND s.name > $2 ORDER BY s.name LIMIT $3`

	releaseShardSQL = `DELETE FROM shards WHERE name = $1 AND ($2 = '' OR holder = $2) RETURNING true`
)

// ShardRow is a registration as its table holds it.
type ShardRow struct {
	Name         string    `db:"name"`
	Holder       string    `db:"holder"`
	ResourceType string    `db:"resource_type"`
	Selector     string    `db:"selector"`
	NotReady     int64     `db:"not_ready"`
	Ready        int64     `db:"ready"`
	PollInterval int64     `db:"poll_interval"`
	RegisteredAt time.Time `db:"registered_at"`
	RenewedAt    time.Time `db:"renewed_at"`
	ExpiresAt    time.Time `db:"expires_at"`
	Now          time.Time `db:"now"`
}

func (r ShardRow) live() bool { return r.Now.Before(r.ExpiresAt) }

func (r ShardRow) shard() fleet.Shard {
	text := func(micros int64) string { return (time.Duration(micros) * time.Microsecond).String() }
	return fleet.Shard{
		Name: r.Name, Kind: "Shard", Holder: r.Holder, ResourceType: fleet.ResourceType(r.ResourceType), Selector: r.Selector,
		BackoffNotReady: text(r.NotReady), BackoffReady: text(r.Ready), PollInterval: text(r.PollInterval), Live: r.live(),
		RegisteredAt: fleet.At(r.RegisteredAt), RenewedAt: fleet.At(r.RenewedAt), ExpiresAt: fleet.At(r.ExpiresAt),
	}
}

// NewShard is what a holder says of its shard.
type NewShard struct {
	Holder       string
	Type         fleet.ResourceType
	Selector     string
	Backoff      fleet.Backoff
	PollInterval time.Duration
}

// Registry is who takes part: holders of shards, and adapters.
type Registry struct {
	db       *database.Pool
	Required map[fleet.ResourceType][]string
}

// New registers in db, and shows required adapters beside those that are registered.
func New(db *database.Pool, required map[fleet.ResourceType][]string) *Registry {
	return &Registry{db, required}
}

// HoldShard registers or renews a shard on the database's clock. While another
// holder is live it is fleet.ShardHeld.
func (s *Registry) HoldShard(ctx context.Context, name string, n NewShard) (fleet.Shard, error) {
	args := []any{name, n.Holder, string(n.Type), n.Selector, schedule.Micros(n.Backoff.NotReady), schedule.Micros(n.Backoff.Ready), schedule.Micros(n.PollInterval)}
	text := holdShardSQL
	if audit.AuthorOf(ctx).Admin {
		at, err := s.db.Clock(ctx)
		if err == nil {
			text, args, err = audit.Noted(ctx, at, fleet.ActionUpdate, "shards", name, text, args)
		}
		if err != nil {
			return fleet.Shard{}, database.Outward(ctx, "hold shard", err)
		}
	}
	for range 3 { // who holds it may leave between two statements
		var rows []ShardRow
		if err := s.db.Read(ctx, &rows, text, args...); err != nil {
			return fleet.Shard{}, database.Outward(ctx, "hold shard", err)
		}
		if len(rows) == 1 {
			return rows[0].shard(), nil
		}
		if err := s.db.Read(ctx, &rows, shardSQL, name); err != nil {
			return fleet.Shard{}, database.Outward(ctx, "hold shard", err)
		}
		if len(rows) == 1 && rows[0].live() {
			return fleet.Shard{}, held(rows[0])
		}
	}
	return fleet.Shard{}, fleet.Errorf(fleet.ShardHeld, "others take and leave shard %s all the time; try again", name)
}

func held(r ShardRow) error {
	return fleet.Errorf(fleet.ShardHeld, "shard %s is held by %s, live until %s", r.Name, r.Holder, fleet.At(r.ExpiresAt))
}

func noShard(name string) error { return fleet.Errorf(fleet.NotFound, "there is no shard %q", name) }

// Shard reads one registration, live or not.
func (s *Registry) Shard(ctx context.Context, name string) (fleet.Shard, error) {
	var rows []ShardRow
	if err := s.db.Read(ctx, &rows, shardSQL, name); err != nil {
		return fleet.Shard{}, database.Outward(ctx, "get shard", err)
	}
	if len(rows) == 0 {
		return fleet.Shard{}, noShard(name)
	}
	return rows[0].shard(), nil
}

// ShardQuery says which shards are asked for.
type ShardQuery struct {
	Type     fleet.ResourceType // "" = any
	Limit    int                // at most so many; 0 = 100, never more than 1000
	Continue string             // from the list before
}

// Shards reads one page of registrations by name, live or not.
func (s *Registry) Shards(ctx context.Context, q ShardQuery) (fleet.ShardList, error) {
	out := fleet.ShardList{Kind: "ShardList", Items: []fleet.Shard{}}
	query := page.Fingerprint("shards", q.Type)
	from, err := page.Read(q.Continue, query)
	if err != nil {
		return out, err
	}
	asOf, err := s.db.Clock(ctx)
	if err != nil {
		return out, database.Outward(ctx, "list shards", err)
	}
	limit := page.Size(q.Limit)
	var rows []ShardRow
	if err := s.db.Read(ctx, &rows, shardsSQL, string(q.Type), from.Name, limit+1); err != nil {
		return out, database.Outward(ctx, "list shards", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		out.Continue = page.Place{Query: query, ID: database.NullID, Name: rows[limit-1].Name}.String()
	}
	for _, r := range rows {
		out.Items = append(out.Items, r.shard())
	}
	out.AsOf = fleet.At(asOf)
	return out, nil
}

// ReleaseShard takes a registration away. Where a holder is named and it is
// another's, it is fleet.ShardHeld.
func (s *Registry) ReleaseShard(ctx context.Context, name, holder string) error {
	released, err := s.unlist(ctx, releaseShardSQL, "shards", name, holder)
	if err != nil {
		return database.Outward(ctx, "release shard", err)
	}
	if released {
		return nil
	}
	var rows []ShardRow
	if err := s.db.Read(ctx, &rows, shardSQL, name); err != nil {
		return database.Outward(ctx, "release shard", err)
	}
	if len(rows) == 0 {
		return noShard(name)
	}
	return fleet.Errorf(fleet.ShardHeld, "shard %s is held by %s", name, rows[0].Holder)
}
