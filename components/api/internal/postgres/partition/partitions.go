package partition

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
)

// Ahead is how many partitions of each table lie wholly in the future after
// every upkeep; with fewer, nobody has done it for a while.
const Ahead = 2

const (
	partitionedSQL = `SELECT name FROM partitioned ORDER BY name`

	rangesSQL = `SELECT parent, until_at FROM partitions ORDER BY parent, until_at`

	aheadSQL = `
		SELECT t.name AS parent, count(p.name) AS n FROM partitioned t
		LEFT JOIN partitions p ON p.parent = t.name AND p.from_at > clock_timestamp() GROUP BY t.name`

	makeSQL = `SELECT make_partitions($1, $2)`

	dropSQL = `SELECT coalesce(drop_expired_partition($1, $2 * interval '1 microsecond'), '')`
)

// Keeper keeps partitions ahead of time and drops what is over.
type Keeper struct {
	db     *database.Pool
	log    *slog.Logger
	ranges atomic.Pointer[ranges] // as last seen
}

// New keeps the partitions of db, and knows none yet.
func New(db *database.Pool, log *slog.Logger) *Keeper { return &Keeper{db: db, log: log} }

// MakePartitions makes partitions of every table ahead of time and remembers
// where they end. Several sessions may do so at once.
func (k *Keeper) MakePartitions(ctx context.Context) error {
	tables, err := k.partitioned(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		var made []int
		if err := k.db.Read(ctx, &made, makeSQL, table, Ahead); err != nil {
			return partitionError(ctx, "make partitions of "+table, err)
		}
		if made[0] > 0 {
			k.log.InfoContext(ctx, "partitions made", "table", table, "count", made[0])
		}
	}
	return k.Learn(ctx)
}

// DropPartitions drops the partitions that are older than the retention, each
// in a transaction of its own.
func (k *Keeper) DropPartitions(ctx context.Context, retention time.Duration) error {
	tables, err := k.partitioned(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		for {
			var dropped []string
			if err := k.db.Read(ctx, &dropped, dropSQL, table, retention.Microseconds()); err != nil {
				return partitionError(ctx, "drop partitions of "+table, err)
			}
			if dropped[0] == "" {
				break
			}
			k.log.InfoContext(ctx, "partition dropped", "table", table, "partition", dropped[0])
		}
	}
	return nil
}

func (k *Keeper) partitioned(ctx context.Context) ([]string, error) {
	var tables []string
	if err := k.db.Read(ctx, &tables, partitionedSQL); err != nil {
		return nil, database.Outward(ctx, "list the partitioned tables", err)
	}
	return tables, nil
}

// partitionError: what a busy table refused is tried again by the next upkeep.
func partitionError(ctx context.Context, doing string, err error) error {
	if pq.As(err, pqerror.LockNotAvailable) != nil {
		return fmt.Errorf("%s: the table is busy, the next try follows", doing)
	}
	return database.Outward(ctx, doing, err)
}

// PartitionsAhead counts each table's partitions that lie wholly in the future.
func (k *Keeper) PartitionsAhead(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		Parent string `db:"parent"`
		N      int64  `db:"n"`
	}
	if err := k.db.Read(ctx, &rows, aheadSQL); err != nil {
		return nil, database.Outward(ctx, "count partitions", err)
	}
	ahead := map[string]int64{}
	for _, r := range rows {
		ahead[r.Parent] = r.N
	}
	return ahead, nil
}

// ranges are the ends of each table's partitions, in order.
type ranges map[string][]time.Time

// Learn reads where partitions end. They are made long before they are
// needed, so that what is known is what is true of the present.
func (k *Keeper) Learn(ctx context.Context) error {
	var rows []struct {
		Parent string    `db:"parent"`
		Until  time.Time `db:"until_at"`
	}
	if err := k.db.Read(ctx, &rows, rangesSQL); err != nil {
		return database.Outward(ctx, "read where partitions end", err)
	}
	known := ranges{}
	for _, r := range rows {
		known[r.Parent] = append(known[r.Parent], r.Until)
	}
	k.ranges.Store(&known)
	return nil
}

// Split says whether a partition of the table ends between two moments, the
// earlier one given by an id. Where nothing is known it says so: a report too
// many in the history is better than one that changes an old partition.
func (k *Keeper) Split(table, id string, now time.Time) bool {
	known := k.ranges.Load()
	if known == nil {
		return true
	}
	made := database.IDMoment(id)
	for _, end := range (*known)[table] {
		if made.Before(end) {
			return !now.Before(end)
		}
	}
	return true
}
