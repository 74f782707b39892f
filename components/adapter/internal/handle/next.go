package handle

import (
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// step is what an adapter has to do about a resource.
type step int

const (
	rest    step = iota // nothing: the attempt's end is final, or the next is not due yet
	start               // begin an attempt, if it may begin
	proceed             // an attempt has begun: make sure that its Job exists
)

// plan is the step, and the attempt that it is about.
type plan struct {
	step    step
	attempt int
	base    int // attempts that the retry limit does not count
}

// next says what follows from the adapter's latest report on r. limit is how
// many attempts follow the first; at is the time of the event, on the clock
// that retry_at is on.
func next(r fleet.Resource, adapter string, limit int, at time.Time) plan {
	own, reported := r.Status.Adapter(adapter)
	if !reported || own.ObservedGeneration < r.Generation {
		return plan{start, 1, 0}
	}
	if own.ObservedGeneration > r.Generation { // an answer from before the report
		return plan{step: rest}
	}
	base := own.AttemptBase
	switch own.Phase {
	case fleet.ReportComplete:
		return plan{rest, own.Attempt, base}
	case fleet.ReportFailed:
		if own.Attempt >= last(base, limit) {
			return plan{rest, own.Attempt, base}
		}
		return plan{start, own.Attempt + 1, base}
	case fleet.ReportRunning:
		switch {
		case own.RetryAt == nil:
			return plan{proceed, max(own.Attempt, 1), base}
		case at.Before(own.RetryAt.Time):
			return plan{rest, own.Attempt, base}
		default:
			return plan{start, own.Attempt + 1, base}
		}
	default: // Pending: asked for again after attempt base, or never begun
		return plan{start, max(own.Attempt, base+1), base}
	}
}

// last is the attempt whose failure is final.
func last(base, limit int) int { return base + 1 + limit }
