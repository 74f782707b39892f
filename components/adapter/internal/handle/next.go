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
	check               // look whether what was done still holds
)

// plan is the step, and the attempt that it is about.
type plan struct {
	step    step
	attempt int
	base    int   // attempts that the retry limit does not count
	moment  int64 // of the last success or check, in Unix seconds; for a check
}

// rules are what an operator sets for attempts.
type rules struct {
	limit   int           // attempts that follow the first
	recheck time.Duration // from a success to its check; 0 = none
}

// next says what follows from the adapter's latest report on r. at is the time
// of the event, on the clock that retry_at is on.
func next(r fleet.Resource, adapter string, set rules, at time.Time) plan {
	own, reported := r.Status.Adapter(adapter)
	if !reported || own.ObservedGeneration < r.Generation {
		return plan{step: start, attempt: 1}
	}
	if own.ObservedGeneration > r.Generation { // an answer from before the report
		return plan{step: rest}
	}
	base := own.AttemptBase
	switch own.Phase {
	case fleet.ReportComplete:
		p := plan{rest, own.Attempt, base, 0}
		if held := lookedAt(own); set.recheck > 0 && !r.Deleting() && !at.Before(held.Add(set.recheck)) {
			p.step, p.moment = check, held.Unix()
		}
		return p
	case fleet.ReportFailed:
		if own.Attempt >= last(base, set.limit) {
			return plan{rest, own.Attempt, base, 0}
		}
		return plan{start, own.Attempt + 1, base, 0}
	case fleet.ReportRunning:
		switch {
		case own.RetryAt == nil:
			return plan{proceed, max(own.Attempt, 1), base, 0}
		case at.Before(own.RetryAt.Time):
			return plan{rest, own.Attempt, base, 0}
		default:
			return plan{start, own.Attempt + 1, base, 0}
		}
	default: // Pending: asked for again after attempt base, or never begun
		return plan{start, max(own.Attempt, base+1), base, 0}
	}
}

// last is the attempt whose failure is final.
func last(base, limit int) int { return base + 1 + limit }

// lookedAt is when it was last known that what a Complete report says holds.
func lookedAt(own fleet.AdapterStatus) time.Time {
	at := own.LastTransitionTime.Time
	if own.CheckedAt != nil && own.CheckedAt.After(at) {
		at = own.CheckedAt.Time
	}
	return at
}
