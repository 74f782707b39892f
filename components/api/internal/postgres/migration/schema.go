package migration

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

//go:embed migrations/*.sql
var migrations embed.FS

const versionSQL = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`

// Schema is the database's, as far as this program knows it.
type Schema struct {
	db       *database.Pool
	From     database.Origin
	role     string // the application's, to which a migration grants what it needs; "" = nobody
	shardKey string
	log      *slog.Logger
}

// New makes connections of its own to migrate, from where the pool's are.
func New(db *database.Pool, from database.Origin, role, shardKey string, log *slog.Logger) *Schema {
	return &Schema{db, from, role, shardKey, log}
}

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	Applied time.Time // zero = not yet
}

// Up brings the schema up to date, one process at a time, settles the
// shard key (a database that was settled for another one is refused), and
// grants the application's role what a serving process needs. The store's own
// role must own the database.
func (s *Schema) Up(ctx context.Context) error {
	db, provider, err := s.migrator()
	if err != nil {
		return err
	}
	defer db.Close() // nothing is written after the grants
	applied, err := provider.Up(ctx)
	if err != nil {
		return database.Outward(ctx, "migrate", err)
	}
	for _, m := range applied {
		s.log.InfoContext(ctx, "migrated", "version", m.Source.Version, "seconds", m.Duration.Seconds())
	}
	if err := s.settleShardKey(ctx); err != nil {
		return err
	}
	if err := s.grant(ctx, db); err != nil {
		return database.Outward(ctx, "grant the application's role "+s.role+" its rights", err)
	}
	return nil
}

// Migrations lists every step that this program knows, in order.
func (s *Schema) Migrations(ctx context.Context) ([]Migration, error) {
	db, provider, err := s.migrator()
	if err != nil {
		return nil, err
	}
	defer db.Close() // nothing is written
	status, err := provider.Status(ctx)
	if err != nil {
		return nil, database.Outward(ctx, "read the schema's version", err)
	}
	out := make([]Migration, len(status))
	for i, m := range status {
		out[i] = Migration{Version: m.Source.Version, Name: m.Source.Path, Applied: m.AppliedAt}
	}
	return out, nil
}

func (s *Schema) migrator() (*sqlx.DB, *goose.Provider, error) {
	db, err := s.From.Direct(2, map[string]string{"lock_timeout": "60s"}) // a migration may take its time
	if err != nil {
		return nil, nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db.DB, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	return db, provider, nil
}

// grants are what a serving process needs and all that it gets: rows, not
// tables; partitions only through their functions and their parents.
var grants = []string{
	`GRANT USAGE ON SCHEMA public TO %[1]s`,
	`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %[1]s`,
	`REVOKE INSERT, UPDATE, DELETE ON goose_db_version, settings, partitioned, partitions FROM %[1]s`,
	`GRANT EXECUTE ON FUNCTION make_partitions(text, integer), drop_expired_partition(text, interval) TO %[1]s`,
}

// revokePartition takes back what the grant on all tables gave.
const revokePartition = `REVOKE ALL ON public.%s FROM %s`

func (s *Schema) grant(ctx context.Context, db *sqlx.DB) error {
	if s.role == "" {
		return nil
	}
	for _, text := range grants {
		if _, err := db.ExecContext(ctx, fmt.Sprintf(text, pq.QuoteIdentifier(s.role))); err != nil {
			return err
		}
	}
	var names []string
	if err := db.SelectContext(ctx, &names, `SELECT name FROM partitions`); err != nil {
		return err
	}
	for _, name := range names {
		_, err := db.ExecContext(ctx, fmt.Sprintf(revokePartition, pq.QuoteIdentifier(name), pq.QuoteIdentifier(s.role)))
		if err != nil && pq.As(err, pqerror.UndefinedTable) == nil { // its time was over meanwhile
			return err
		}
	}
	return nil
}

func (s *Schema) settleShardKey(ctx context.Context) error {
	const settle = `
		INSERT INTO settings (name, value) VALUES ('shard_key', $1)
		ON CONFLICT (name) DO UPDATE SET value = settings.value RETURNING value`
	var settled string
	if err := s.db.DB.GetContext(ctx, &settled, settle, s.shardKey); err != nil {
		return database.Outward(ctx, "settle the shard key", err)
	}
	return s.sameShardKey(settled)
}

func (s *Schema) sameShardKey(settled string) error {
	if settled == s.shardKey {
		return nil
	}
	return fmt.Errorf("settle the shard key: this database is sharded by label %q, the configuration says %q; set shard-key to %[1]q, "+
		"or change the database with `hyperfleet-api migrate shard-key %[2]s`", settled, s.shardKey)
}

// Await says whether the schema is as this program needs it, at least; it
// changes nothing. While it is not, the error is fleet.Unavailable.
func (s *Schema) Await(ctx context.Context) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	version, err := s.Version(ctx)
	if pq.As(err, pqerror.UndefinedTable, pqerror.InsufficientPrivilege) != nil { // not migrated, or not granted, yet
		version, err = 0, nil
	}
	if err != nil {
		return err
	}
	if version < newest {
		return &fleet.Error{
			Code: fleet.Unavailable, RetryAfter: database.RetryAfter,
			Detail: fmt.Sprintf("the database's schema has version %d and this program needs %d: run hyperfleet-api migrate up with the migrator's URL", version, newest),
		}
	}
	var settled []string
	if err := s.db.Read(ctx, &settled, schedule.ShardKeySQL); err != nil {
		return database.Outward(ctx, "read the shard key", err)
	}
	if len(settled) == 1 {
		if err := s.sameShardKey(settled[0]); err != nil {
			return err
		}
	}
	return nil
}

// newestMigration is the version of the last file; their names sort by it.
func newestMigration() (version int64, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("find the migrations: %w", err)
	}
	return goose.NumericComponent(files[len(files)-1])
}

// Version is the newest migration that was applied.
func (s *Schema) Version(ctx context.Context) (int64, error) {
	var version []int64
	if err := s.db.Read(ctx, &version, versionSQL); err != nil {
		return 0, database.Outward(ctx, "read the schema's version", err)
	}
	return version[0], nil
}
