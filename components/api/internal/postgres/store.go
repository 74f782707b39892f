package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Defaults of a [Config].
const (
	DefaultMaxConns = 16
	DefaultShardKey = "region"
)

// Config is how a [Store] reaches its database and judges what it stores.
type Config struct {
	URL      string                          // postgres://…
	MaxConns int                             // at most so many connections, but 2 at least; 0 = 16
	ShardKey string                          // label that leads the schedule's index; "" = region
	Required map[fleet.ResourceType][]string // adapters that must be Complete for a resource to be Ready
	Log      *slog.Logger                    // nil = silent
}

// Store is the API's database. Its methods may be called at the same time.
type Store struct {
	db         *sqlx.DB
	due        *sqlx.DB // connections that plan for the due query
	url        string
	shardKey   string
	required   map[fleet.ResourceType][]string
	log        *slog.Logger
	statements *statements // of db
	dueQueries *statements // of due
	spread     spread
}

// Settings of every connection. A statement of ours is short, so compiling it
// or waiting long for it never pays.
var settings = map[string]string{
	"statement_timeout":                   "30s",
	"lock_timeout":                        "10s",
	"idle_in_transaction_session_timeout": "30s",
	"jit":                                 "off",
}

// Settings of the connections for the due query, whose indexes are made for
// its one plan. Statistics that are old, or rows that were not vacuumed yet,
// would have PostgreSQL sort and fetch instead, most of all under load.
var dueSettings = map[string]string{
	"enable_bitmapscan": "off",
	"enable_seqscan":    "off",
	"plan_cache_mode":   "force_generic_plan",
}

// Open prepares pools of connections and makes none yet: whether the database
// answers is seen by Migrate and Ping. Its error never shows the URL.
func Open(_ context.Context, c Config) (*Store, error) {
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.ShardKey == "" {
		c.ShardKey = DefaultShardKey
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	forDue := max(1, c.MaxConns/4)
	db, err := pool(c.URL, max(1, c.MaxConns-forDue), settings)
	if err != nil {
		return nil, err
	}
	due, err := pool(c.URL, forDue, settings, dueSettings)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{
		db: db, due: due, url: c.URL, shardKey: c.ShardKey, required: c.Required, log: c.Log,
		statements: newStatements(db), dueQueries: newStatements(due),
	}, nil
}

func pool(url string, size int, settings ...map[string]string) (*sqlx.DB, error) {
	connector, err := connector(url, settings...)
	if err != nil {
		return nil, err
	}
	db := openDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	return db, nil
}

// connector reads the URL; settings hold for every connection.
func connector(url string, settings ...map[string]string) (*pq.Connector, error) {
	config, err := pq.NewConfig(url)
	if err != nil {
		return nil, errors.New("read the database's URL: it is not a postgres:// URL") // err may quote the password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	if config.ApplicationName == "" {
		config.ApplicationName = "hyperfleet-api"
	}
	if config.Runtime == nil {
		config.Runtime = map[string]string{}
	}
	config.Runtime["timezone"] = "UTC"
	for _, some := range settings {
		maps.Copy(config.Runtime, some)
	}
	return pq.NewConnectorConfig(config)
}

// Migrate brings the schema up to date, one process at a time, and settles the
// shard key; a database that was settled for another one is refused.
func (s *Store) Migrate(ctx context.Context) error {
	connector, err := connector(s.url, map[string]string{"lock_timeout": "60s"}) // a migration may take its time
	if err != nil {
		return err
	}
	db := openDB(connector)
	defer db.Close() // nothing is written after Up
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db.DB, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	applied, err := provider.Up(ctx)
	if err != nil {
		return outward(ctx, "migrate", err)
	}
	for _, m := range applied {
		s.log.Info("migrated", "version", m.Source.Version, "seconds", m.Duration.Seconds())
	}
	return s.settleShardKey(ctx)
}

func (s *Store) settleShardKey(ctx context.Context) error {
	const settle = `
		INSERT INTO settings (name, value) VALUES ('shard_key', $1)
		ON CONFLICT (name) DO UPDATE SET value = settings.value RETURNING value`
	var settled string
	if err := s.db.GetContext(ctx, &settled, settle, s.shardKey); err != nil {
		return outward(ctx, "settle the shard key", err)
	}
	if settled != s.shardKey {
		return fmt.Errorf("settle the shard key: this database is sharded by label %q, the configuration says %q; set it to %q",
			settled, s.shardKey, settled)
	}
	return nil
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return outward(ctx, "ping the database", err)
	}
	return nil
}

// Close gives all connections back.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.due.Close()) }
