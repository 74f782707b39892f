package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	MaxConns int                             // at most so many connections; 0 = 16
	ShardKey string                          // label that leads the schedule's index; "" = region
	Required map[fleet.ResourceType][]string // adapters that must be Complete for a resource to be Ready
	Log      *slog.Logger                    // nil = silent
}

// Store is the API's database. Its methods may be called at the same time.
type Store struct {
	db         *sqlx.DB
	url        string
	shardKey   string
	required   map[fleet.ResourceType][]string
	log        *slog.Logger
	statements *statements
	spread     spread
}

// Open prepares a pool of connections and makes none yet: whether the
// database answers is seen by Migrate and Ping. Its error never shows the URL.
func Open(_ context.Context, c Config) (*Store, error) {
	connector, err := connector(c.URL, map[string]string{
		"statement_timeout":                   "30s",
		"lock_timeout":                        "10s",
		"idle_in_transaction_session_timeout": "30s",
	})
	if err != nil {
		return nil, err
	}
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.ShardKey == "" {
		c.ShardKey = DefaultShardKey
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	db := openDB(connector)
	db.SetMaxOpenConns(c.MaxConns)
	db.SetMaxIdleConns(c.MaxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	return &Store{
		db: db, url: c.URL, shardKey: c.ShardKey, required: c.Required, log: c.Log,
		statements: newStatements(db),
	}, nil
}

// connector reads the URL; settings hold for every connection.
func connector(url string, settings map[string]string) (*pq.Connector, error) {
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
	for name, value := range settings {
		config.Runtime[name] = value
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
	defer db.Close() //nolint:errcheck // nothing is written after Up
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
func (s *Store) Close() error { return s.db.Close() }
