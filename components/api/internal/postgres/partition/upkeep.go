package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// purgeAtOnce bounds what one transaction of the upkeep removes.
const purgeAtOnce = 500

// purgeSQL removes the oldest tombstones with all that hangs on them. What
// somebody writes now, and what still owns something, waits for the next time.
const purgeSQL = `
	WITH gone AS MATERIALIZED (
		SELECT id FROM {resources} r WHERE deleted_at < clock_timestamp() - $1 * interval '1 microsecond' %s
		ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED),
	history AS (DELETE FROM {statuses} WHERE {subject} IN (SELECT id FROM gone)),
	latest AS (DELETE FROM {reports} WHERE {subject} IN (SELECT id FROM gone)),
	removed AS (DELETE FROM {resources} WHERE id IN (SELECT id FROM gone) RETURNING 1)
	SELECT count(*) FROM removed`

// Upkeep does what time asks for: it makes partitions ahead, drops those that
// are older than the retention, and removes tombstones of that age. Every
// replica may do so at any time. It returns how many partitions each table has
// ahead, also beside an error, as far as that could be read.
func (k *Keeper) Upkeep(ctx context.Context, retention time.Duration) (ahead map[string]int64, err error) {
	err = errors.Join(k.MakePartitions(ctx), k.DropPartitions(ctx, retention), k.purge(ctx, retention))
	ahead, counting := k.PartitionsAhead(ctx)
	return ahead, errors.Join(err, counting)
}

// purge removes what is owned before what owns it.
func (k *Keeper) purge(ctx context.Context, retention time.Duration) error {
	for _, t := range slices.Backward(fleet.Types()) {
		names, err := database.TablesFor(t)
		if err != nil {
			return err
		}
		without := ""
		for _, owned := range t.Type.Owned() {
			theirs, err := database.TablesFor(owned)
			if err != nil {
				return err
			}
			without += theirs.SQL(` AND NOT EXISTS (SELECT FROM {resources} o WHERE o.owner_id = r.id)`)
		}
		text := names.SQL(fmt.Sprintf(purgeSQL, without))
		total, removed := 0, []int{purgeAtOnce}
		for removed[0] == purgeAtOnce {
			removed = nil
			if err := k.db.Read(ctx, &removed, text, retention.Microseconds(), purgeAtOnce); err != nil {
				return database.Outward(ctx, "remove tombstones of "+string(t.Type), err)
			}
			total += removed[0]
		}
		if total > 0 {
			k.log.InfoContext(ctx, "tombstones removed", "type", string(t.Type), "count", total)
		}
	}
	return nil
}
