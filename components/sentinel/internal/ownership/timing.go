package ownership

import (
	"errors"
	"fmt"
	"time"
)

// Timing is how long leadership lasts and how it is kept. All replicas of a
// namespace need the same.
type Timing struct {
	LeaseDuration time.Duration // after the last renewal seen, others may claim; whole seconds
	RenewDeadline time.Duration // after its last renewal a leader stops by itself
	RetryPeriod   time.Duration // between renewals, and between looks at another's Lease
}

// DefaultTiming is for a cluster where nothing is known to be in the way.
func DefaultTiming() Timing {
	return Timing{LeaseDuration: 10 * time.Second, RenewDeadline: 7 * time.Second, RetryPeriod: time.Second}
}

// Validate names every problem.
func (t Timing) Validate() error {
	var errs []error
	if t.LeaseDuration < time.Second || t.LeaseDuration > time.Hour || t.LeaseDuration%time.Second != 0 {
		errs = append(errs, fmt.Errorf("lease duration %s: use whole seconds from 1s to 1h: a Lease holds nothing finer", t.LeaseDuration))
	}
	if t.RenewDeadline >= t.LeaseDuration {
		errs = append(errs, fmt.Errorf("renew deadline %s: must be shorter than the lease duration %s: a leader stops before others claim", t.RenewDeadline, t.LeaseDuration))
	}
	if t.RetryPeriod < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("retry period %s: use at least 10ms", t.RetryPeriod))
	} else if t.RenewDeadline < 3*t.RetryPeriod {
		errs = append(errs, fmt.Errorf("renew deadline %s: use at least three retry periods of %s: one lost renewal must not end a leadership", t.RenewDeadline, t.RetryPeriod))
	}
	return errors.Join(errs...)
}

// present is the time between two renewals of a replica's presence.
func (t Timing) present() time.Duration { return 2 * t.RetryPeriod }

// delay is how much later than the best replica the one of this rank claims: two
// retry periods per place, in which the better one has looked at the Lease at
// least once, and half a lease at most, which bounds what the ranks of dead
// replicas cost.
func (t Timing) delay(rank int) time.Duration {
	return min(time.Duration(rank)*2*t.RetryPeriod, t.LeaseDuration/2)
}

// settled is how long a better replica must have been there before a leader
// steps down for it: a lease, and twice as long for each time that it has
// stepped down already, for a shard may not thrive there.
func (t Timing) settled(steps int) time.Duration { return t.LeaseDuration << min(steps, 5) }
