package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// servingSQL: whoever serves writes rows by the shard key that it knows.
	servingSQL = `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = '` + database.ApplicationName + `' AND pid <> pg_backend_pid()`

	lockScheduleSQL = `LOCK TABLE {schedule} IN SHARE ROW EXCLUSIVE MODE`

	saveShardKeySQL = `UPDATE settings SET value = $1 WHERE name = 'shard_key'`

	// inheritSQL: what belongs to a resource carries its shard-key label.
	inheritSQL = `
		WITH moved AS (
			UPDATE {resources} r SET desired_version = r.desired_version + 1,
				updated_at = greatest(clock_timestamp(), r.touched_at + interval '1 microsecond'),
				touched_at = greatest(clock_timestamp(), r.touched_at + interval '1 microsecond'),
				labels = CASE WHEN o.labels ? $1 THEN r.labels || jsonb_build_object($1::text, o.labels->$1) ELSE r.labels - $1 END
			FROM {owners} o WHERE o.id = r.owner_id AND r.labels->$1 IS DISTINCT FROM o.labels->$1 AND r.deleted_at IS NULL
			RETURNING r.id, r.labels)
		UPDATE {schedule} s SET labels = moved.labels FROM moved WHERE s.id = moved.id`

	reshardSQL = `
		UPDATE {schedule} SET shard_key = coalesce(labels->>$1::text, '') WHERE shard_key <> coalesce(labels->>$1::text, '')`
)

// MoveShardKey shards the fleet by another label, in one transaction. It
// refuses while any API serves.
func (s *Schema) MoveShardKey(ctx context.Context, key string) error {
	from := s.From
	from.Name = database.MigratorName
	db, err := from.Direct(1, map[string]string{"lock_timeout": "10s"})
	if err != nil {
		return err
	}
	defer db.Close() // nothing is written after Commit
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return database.Outward(ctx, "move the shard key", err)
	}
	defer tx.Rollback() // after Commit it does nothing; before, the error is returned already
	var serving int
	if err := tx.GetContext(ctx, &serving, servingSQL); err != nil {
		return database.Outward(ctx, "look for APIs that serve", err)
	}
	if serving > 0 {
		return fmt.Errorf("move the shard key: %d connections of an API are open; stop every API first", serving)
	}
	moved := int64(0)
	for _, t := range fleet.Types() {
		n, err := reshard(ctx, tx, t, key)
		if err != nil {
			return database.Outward(ctx, "shard "+string(t.Type)+" anew", err)
		}
		moved += n
	}
	result, err := tx.ExecContext(ctx, saveShardKeySQL, key)
	if err != nil {
		return database.Outward(ctx, "save the shard key", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errors.New("save the shard key: the database has none yet; run hyperfleet-api migrate up with the shard-key that you want"), err)
	}
	if err := tx.Commit(); err != nil {
		return database.Outward(ctx, "move the shard key", err)
	}
	s.log.InfoContext(ctx, "shard key moved", "label", key, "count", moved)
	return nil
}

// reshard moves the schedule of one type to another shard key.
func reshard(ctx context.Context, tx *sqlx.Tx, t fleet.TypeInfo, key string) (int64, error) {
	names, err := database.TablesFor(t)
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, names.SQL(lockScheduleSQL)); err != nil {
		return 0, err
	}
	if info, ok := t.Owner.Info(); ok {
		owners, err := database.TablesFor(info)
		if err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, names.SQL(strings.ReplaceAll(inheritSQL, "{owners}", owners.Resources)), key); err != nil {
			return 0, err
		}
	}
	result, err := tx.ExecContext(ctx, names.SQL(reshardSQL), key)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
