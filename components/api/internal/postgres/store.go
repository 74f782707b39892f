package postgres

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/coverage"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/migration"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/partition"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Defaults of a [Config].
const (
	DefaultMaxConns = 16
	DefaultShardKey = "region"
	DefaultAcquire  = 5 * time.Second
)

// Config is how a [Store] reaches its database and judges what it stores.
type Config struct {
	URL          string                          // postgres://…
	PasswordFile string                          // read for every new connection, in place of the URL's password; "" = none
	Pooler       bool                            // a pooler in transaction mode stands between: see [Open]
	Role         string                          // the application's, to which Migrate grants what it needs; "" = nobody
	MaxConns     int                             // at most so many connections, but 2 at least; 0 = 16
	Acquire      time.Duration                   // how long to wait for a free connection; 0 = 5 s
	ShardKey     string                          // label that leads the schedule's index; "" = region
	Required     map[fleet.ResourceType][]string // adapters that must be Complete for a resource to be Ready
	Log          *slog.Logger                    // nil = silent
}

// Store is the API's database. Its methods may be called at the same time.
type Store struct {
	*resource.Reader
	*History
	*desired.Writer
	*Desk
	*schedule.Schedule
	*registry.Registry
	*coverage.Comparison
	*audit.Log
	*migration.Schema

	db, due *database.Pool
	keeper  *partition.Keeper
}

// Open prepares pools of connections and makes none yet: whether the database
// answers is seen by Migrate, Await and Ping. Its error never shows the URL.
//
// With c.Pooler nothing is prepared and nothing set per session, since every
// transaction may be another server's: README.md says what the pooler must set.
func Open(_ context.Context, c Config) (*Store, error) {
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.Acquire <= 0 {
		c.Acquire = DefaultAcquire
	}
	if c.ShardKey == "" {
		c.ShardKey = DefaultShardKey
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	from := database.Origin{URL: c.URL, PasswordFile: c.PasswordFile, Pooler: c.Pooler}
	forDue := max(1, c.MaxConns/4)
	db, err := from.Open(max(1, c.MaxConns-forDue), c.Acquire, nil)
	if err != nil {
		return nil, err
	}
	due, err := from.Open(forDue, c.Acquire, schedule.Settings)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	keeper := partition.New(db, c.Log)
	registry := registry.New(db, c.Required)
	under := resource.NewLocker(db, registry, c.Required, c.Log)
	return &Store{
		Reader: resource.NewReader(db), History: newHistory(db), Writer: desired.New(db, under, c.ShardKey, c.Log),
		Desk: newDesk(db, under, keeper.Split, c.Log), Schedule: schedule.New(db, due, c.ShardKey),
		Registry: registry, Comparison: coverage.New(db, c.ShardKey), Log: audit.New(db),
		Schema: migration.New(db, from, c.Role, c.ShardKey, c.Log), db: db, due: due, keeper: keeper,
	}, nil
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

// Migrate brings the schema up to date, one process at a time, settles the
// shard key (a database that was settled for another one is refused), and
// grants the application's role what a serving process needs. The store's own
// role must own the database.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.Schema.Up(ctx); err != nil {
		return err
	}
	return s.keeper.Learn(ctx)
}

// Await says whether the schema is as this program needs it, at least; it
// changes nothing. While it is not, the error is fleet.Unavailable.
func (s *Store) Await(ctx context.Context) error {
	if err := s.Schema.Await(ctx); err != nil {
		return err
	}
	return s.keeper.Learn(ctx)
}

// Upkeep does what time asks for: it makes partitions ahead, drops those that
// are older than the retention, and removes tombstones of that age and
// idempotency keys whose time is over. Every replica may do so at any time. It
// returns how many partitions each table has ahead, also beside an error, as far
// as that could be read.
func (s *Store) Upkeep(ctx context.Context, retention time.Duration) (ahead map[string]int64, err error) {
	ahead, err = s.keeper.Upkeep(ctx, retention)
	return ahead, errors.Join(err, once.Drop(ctx, s.db))
}

// Stats says how each pool of connections is used, by the pool's name.
func (s *Store) Stats() map[string]sql.DBStats {
	return map[string]sql.DBStats{"main": s.db.DB.Stats(), "due": s.due.DB.Stats()}
}

// Close waits for what is being stored and gives all connections back.
func (s *Store) Close() error {
	s.wait()
	return errors.Join(s.db.Close(), s.due.Close())
}
