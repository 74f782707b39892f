package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/sethvargo/go-retry"
	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// MigrateCommand returns `migrate` with its commands. They work with the
// migrator's database-url, never through a pooler; loaded fills cfg first.
func MigrateCommand(cfg *Config, loaded func(func(*cobra.Command, []string) error) func(*cobra.Command, []string) error) *cobra.Command {
	migrate := &cobra.Command{Use: "migrate", Short: "Change the database's schema; needs the migrator's database-url"}
	add := func(use, short string, args cobra.PositionalArgs, run func(*cobra.Command, *migrator, []string) error) {
		migrate.AddCommand(&cobra.Command{Use: use, Short: short, Args: args, RunE: loaded(func(cmd *cobra.Command, args []string) error {
			return withMigrator(*cfg, cmd.ErrOrStderr(), func(m *migrator) error { return run(cmd, m, args) })
		})})
	}
	add("up", "Bring the schema up to date", cobra.NoArgs,
		func(cmd *cobra.Command, m *migrator, _ []string) error {
			return m.reach(cmd.Context(), m.store.Migrate)
		})
	add("status", "Show what was migrated when", cobra.NoArgs,
		func(cmd *cobra.Command, m *migrator, _ []string) error {
			return m.print(cmd.Context(), cmd.OutOrStdout())
		})
	add("shard-key NAME", "Shard by another label; every API must be stopped", cobra.ExactArgs(1),
		func(cmd *cobra.Command, m *migrator, args []string) error {
			if !labelKey.MatchString(args[0]) {
				return fmt.Errorf("shard-key: %q is not a label key such as region", args[0])
			}
			return m.store.MoveShardKey(cmd.Context(), args[0])
		})
	return migrate
}

// Migrate waits for the database and brings its schema up to date, without
// serving; it logs to w.
func Migrate(ctx context.Context, cfg Config, w io.Writer) error {
	if err := cfg.ValidateDatabase(); err != nil {
		return err
	}
	return withMigrator(cfg, w, func(m *migrator) error { return m.reach(ctx, m.store.Migrate) })
}

// migrator changes the schema of the database that cfg names.
type migrator struct {
	wait  time.Duration
	store *postgres.Store
	log   *slog.Logger
}

func withMigrator(cfg Config, w io.Writer, run func(*migrator) error) (err error) {
	log, err := service.NewLogger(w, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return err
	}
	store, err := openStore(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return run(&migrator{cfg.DatabaseWait, store, log})
}

func (m *migrator) reach(ctx context.Context, work func(context.Context) error) error {
	return reach(ctx, m.wait, m.log, work)
}

// reach does what needs the database, again for as long as that is away.
func reach(ctx context.Context, wait time.Duration, log *slog.Logger, work func(context.Context) error) error {
	backoff := retry.WithMaxDuration(wait, retry.WithCappedDuration(5*time.Second, retry.NewExponential(100*time.Millisecond)))
	err := retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := work(ctx)
		if fleet.ErrorCode(err) == fleet.Unavailable {
			log.WarnContext(ctx, "waiting for the database", "err", err)
			return retry.RetryableError(err)
		}
		return err
	})
	if ctx.Err() == nil && fleet.ErrorCode(err) == fleet.Unavailable {
		return fmt.Errorf("the database was not ready within %s; check database-url (its host, port, user, password and database) and that it is migrated: %w", wait, err)
	}
	return err
}

func (m *migrator) print(ctx context.Context, w io.Writer) error {
	all, err := m.store.Migrations(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tMIGRATION\tAPPLIED") // Flush tells
	for _, m := range all {
		applied := "no"
		if !m.Applied.IsZero() {
			applied = m.Applied.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", m.Version, m.Name, applied) // Flush tells
	}
	return table.Flush()
}
