package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

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

	unscheduleSQL = `DELETE FROM {schedule} WHERE id = $1`
)

// wake is a moment from which on a resource is due, and why.
type wake struct {
	at  time.Time
	why fleet.Reason
}

// plan is what a change does to a resource's place in the schedule; see
// fleet.Schedule. The zero plan leaves what is due as it is.
type plan struct {
	base  *time.Time // backoffs count from here: after a report, and when it is no longer parked
	park  *bool      // out of the schedule, or back; nil = as it was
	wakes []wake
}

// reschedule follows a change of the resource.
func (x *tx) reschedule(ctx context.Context, id string, generation int64, s fleet.Status, p plan) error {
	first, at := earliest(p.wakes)
	return x.exec(ctx, scheduleSQL, id, s.Phase == fleet.Ready, string(s.Phase), generation, s.LastTransitionTime.Time,
		p.base, len(p.wakes), at, string(first.why), p.park, pq.StringArray(retries(p.wakes)), fleet.MaxLater)
}

// earliest chooses of several wake-ups the one that counts, and says when it
// is; nil where there is none.
func earliest(wakes []wake) (first wake, at *time.Time) {
	for _, w := range wakes {
		if at == nil || w.at.Before(first.at) {
			first, at = w, &w.at
		}
	}
	return first, at
}

// retries are the moments of the wake-ups that an adapter asked for.
func retries(wakes []wake) []string {
	moments := []string{}
	for _, w := range wakes {
		if w.why == fleet.Retry {
			moments = append(moments, w.at.UTC().Format(time.RFC3339Nano))
		}
	}
	return moments
}
