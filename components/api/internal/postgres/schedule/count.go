package schedule

import (
	"context"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// CountSQL reads the covering index alone, as tests of its plan see; hence its
// name. Whose clock moves is the database's.
const CountSQL = `
	SELECT phase, count(*) AS n,
		count(*) FILTER (WHERE NOT ready AND base < 'infinity' AND transitioned_at < clock_timestamp() - $1::bigint * interval '1 microsecond') AS stuck
	FROM {schedule} GROUP BY phase`

// Count is how many resources are in one phase, and how many of them are
// stuck: not Ready, in the schedule, and unheard of for longer than was asked for.
type Count struct{ All, Stuck int64 }

// CountByPhase counts the resources that are not deleted. Every phase that such
// a resource can have is in the answer.
func (s *Schedule) CountByPhase(ctx context.Context, t fleet.TypeInfo, stuckAfter time.Duration) (map[fleet.Phase]Count, error) {
	names, err := database.TablesFor(t)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Phase fleet.Phase `db:"phase"`
		N     int64       `db:"n"`
		Stuck int64       `db:"stuck"`
	}
	if err := s.due.Read(ctx, &rows, names.SQL(CountSQL), Micros(stuckAfter)); err != nil {
		return nil, database.Outward(ctx, "count "+string(t.Type), err)
	}
	counts := map[fleet.Phase]Count{}
	for _, p := range fleet.Phases() {
		if p != fleet.Deleted {
			counts[p] = Count{}
		}
	}
	for _, r := range rows {
		counts[r.Phase] = Count{All: r.N, Stuck: r.Stuck}
	}
	return counts, nil
}
