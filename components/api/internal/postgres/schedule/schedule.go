package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// A row whose base is infinity is parked, and stays so unless $10 is false.
	// Of two wake-ups the earlier stays, and retries that are later follow it;
	// every one counts.
	scheduleSQL = `
		UPDATE {schedule} SET ready = $2, phase = $3, generation = $4, transitioned_at = $5, wakes = wakes + $7,
			base = CASE WHEN coalesce($10::boolean, base = 'infinity') THEN 'infinity' ELSE coalesce($6::timestamptz, base) END,
			repeat = CASE WHEN coalesce($10::boolean, base = 'infinity') OR $6::timestamptz IS NOT NULL THEN 0 ELSE repeat END,
			wake_at = CASE WHEN coalesce($10::boolean, base = 'infinity') THEN NULL ELSE least(wake_at, $8::timestamptz) END,
			wake_reason = CASE WHEN coalesce($10::boolean, base = 'infinity') THEN NULL
				WHEN $8::timestamptz < coalesce(wake_at, 'infinity') THEN $9 ELSE wake_reason END,
			later = CASE WHEN coalesce($10::boolean, base = 'infinity') THEN NULL
				WHEN later IS NULL AND $8::timestamptz IS NULL THEN NULL
				ELSE (SELECT array_agg(f.moment) FROM (
					SELECT DISTINCT m AS moment
					FROM unnest(coalesce(later, '{}') || $11::timestamptz[] || CASE WHEN wake_reason = 'retry' THEN wake_at END) m
					WHERE m > least(wake_at, $8::timestamptz) ORDER BY m LIMIT $12::int) f) END
		WHERE id = $1`

	moveSQL = `UPDATE {schedule} SET labels = $2, shard_key = $3 WHERE id = $1`

	insertScheduleSQL = `
		INSERT INTO {schedule} (id, shard_key, ready, base, wake_at, wake_reason, wakes, repeat, generation, phase, transitioned_at, labels)
		VALUES ($1, $2, $3,
			CASE WHEN $8::boolean THEN 'infinity' ELSE $4::timestamptz END,
			CASE WHEN $8::boolean THEN NULL ELSE $4::timestamptz END, CASE WHEN $8::boolean THEN NULL ELSE $5 END,
			1, 0, 1, $6, $4::timestamptz, $7)`

	unscheduleSQL = `DELETE FROM {schedule} WHERE id = $1`

	// ShardKeySQL reads the label that the database is sharded by.
	ShardKeySQL = `SELECT value FROM settings WHERE name = 'shard_key'`
)

// Schedule answers what is due and records what was published.
type Schedule struct {
	db, due  *database.Pool // due plans for the due query
	shardKey string
	spread   spread
}

// New reads through due, whose connections must have [dueSettings].
func New(db, due *database.Pool, shardKey string) *Schedule {
	return &Schedule{db: db, due: due, shardKey: shardKey}
}

// Wake is a moment from which on a resource is due, and why.
type Wake struct {
	At  time.Time
	Why fleet.Reason
}

// Plan is what a change does to a resource's place in the schedule; see
// fleet.Schedule. The zero plan leaves what is due as it is.
type Plan struct {
	Base  *time.Time // backoffs count from here: after a report, and when it is no longer parked
	Park  *bool      // out of the schedule, or back; nil = as it was
	Wakes []Wake
}

// Enter puts a new resource into the schedule, due at once; one that is paused
// is parked.
func Enter(ctx context.Context, x *database.Tx, id, shardKey, labels string, s fleet.Status, now time.Time, paused bool) error {
	return x.Exec(ctx, insertScheduleSQL, id, shardKey, s.Phase == fleet.Ready, now, string(fleet.GenerationChanged), string(s.Phase), labels, paused)
}

// Relabel follows new labels, a JSON object.
func Relabel(ctx context.Context, x *database.Tx, id, labels, shardKey string) error {
	return x.Exec(ctx, moveSQL, id, labels, shardKey)
}

// Leave takes a resource out.
func Leave(ctx context.Context, x *database.Tx, id string) error {
	return x.Exec(ctx, unscheduleSQL, id)
}

// Move follows a change of the resource.
func Move(ctx context.Context, x *database.Tx, id string, generation int64, s fleet.Status, p Plan) error {
	first, at := Earliest(p.Wakes)
	return x.Exec(ctx, scheduleSQL, id, s.Phase == fleet.Ready, string(s.Phase), generation, s.LastTransitionTime.Time,
		p.Base, len(p.Wakes), at, string(first.Why), p.Park, pq.StringArray(Retries(p.Wakes)), fleet.MaxLater)
}

// Earliest chooses of several wake-ups the one that counts, and says when it
// is; nil where there is none.
func Earliest(wakes []Wake) (first Wake, at *time.Time) {
	for _, w := range wakes {
		if at == nil || w.At.Before(first.At) {
			first, at = w, &w.At
		}
	}
	return first, at
}

// Retries are the moments of the wake-ups that an adapter asked for.
func Retries(wakes []Wake) []string {
	moments := []string{}
	for _, w := range wakes {
		if w.Why == fleet.Retry {
			moments = append(moments, w.At.UTC().Format(time.RFC3339Nano))
		}
	}
	return moments
}

// SameKey refuses to commit what was written by a shard key that has moved: by
// an API that the move did not see. It is asked once the transaction has written
// to the schedule, since a move holds the schedule until it is over.
func SameKey(ctx context.Context, x *database.Tx, shardKey string) error {
	var settled string
	if err := x.Row(ctx, &settled, ShardKeySQL); err != nil {
		return fmt.Errorf("read the shard key: %w", err)
	}
	if settled != shardKey {
		return &fleet.Error{Code: fleet.Unavailable, RetryAfter: database.RetryAfter, Detail: fmt.Sprintf(
			"the fleet is sharded by label %q now and this API serves it by %q: start it again with the new shard-key", settled, shardKey)}
	}
	return nil
}
