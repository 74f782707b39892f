package fleet

import (
	"math"
	"slices"
	"time"
)

// MaxRepeat bounds the doubling of a silent resource's backoff: 2^5 backoffs.
const MaxRepeat = 5

// MaxLater bounds how many retries wait behind an earlier wake-up: more than
// a resource has adapters. The last ones are left to the backoff.
const MaxLater = 16

// Backoff is how long a resource may stay unheard of before it is due.
type Backoff struct {
	NotReady time.Duration
	Ready    time.Duration
}

// For returns the backoff of a resource that is, or is not, Ready.
func (b Backoff) For(ready bool) time.Duration {
	if ready {
		return b.Ready
	}
	return b.NotReady
}

// Schedule is everything that "is it due?" depends on. The API keeps one row
// of it per resource; its SQL is property-tested against these functions. All
// times are the database's clock.
type Schedule struct {
	WakeAt     time.Time // publish at once from this moment on; zero = not woken
	WakeReason Reason
	Later      []time.Time // retries after WakeAt, in order; nil = none
	Wakes      int64       // raised by every wake, so that a recording never swallows one
	Ready      bool
	Base       time.Time // backoffs count from here
	Repeat     int       // events published since the last report
	Parked     bool      // out of the schedule: never due until Resume
}

// Due says whether the resource is due at now, and why. Boundaries are due.
func (s Schedule) Due(b Backoff, now time.Time) (Reason, bool) {
	if s.Parked {
		return "", false
	}
	if !s.WakeAt.IsZero() && !s.WakeAt.After(now) {
		return s.WakeReason, true
	}
	if !now.Before(s.Base.Add(b.For(s.Ready))) {
		return BackoffExpired, true
	}
	return "", false
}

// Wake returns s woken at the given moment. Of two wake-ups the earlier stays,
// and a retry that is the later one follows it. What is parked stays so.
func (s Schedule) Wake(at time.Time, why Reason) Schedule {
	s.Wakes++
	switch {
	case s.Parked:
	case s.WakeAt.IsZero():
		s.WakeAt, s.WakeReason = at, why
	case at.Before(s.WakeAt):
		if s.WakeReason == Retry {
			s.Later = follow(s.Later, s.WakeAt)
		}
		s.WakeAt, s.WakeReason = at, why
	case at.After(s.WakeAt) && why == Retry:
		s.Later = follow(s.Later, at)
	}
	return s
}

// follow returns the moments with at among them, each once and in order.
func follow(moments []time.Time, at time.Time) []time.Time {
	i, there := slices.BinarySearchFunc(moments, at, time.Time.Compare)
	if there {
		return moments
	}
	all := slices.Insert(slices.Clone(moments), i, at)
	return all[:min(len(all), MaxLater)]
}

// Park returns s out of the schedule: paused, or waiting for what it owns.
func (s Schedule) Park() Schedule {
	return Schedule{Wakes: s.Wakes, Ready: s.Ready, Parked: true}
}

// Resume returns s back in the schedule and woken at the given moment.
func (s Schedule) Resume(at time.Time, why Reason) Schedule {
	if s.Parked {
		s.Parked, s.Base = false, at
	}
	return s.Wake(at, why)
}

// Reported returns s after a report was stored at now. A report never takes a
// wake-up away, and never brings back what is parked.
func (s Schedule) Reported(ready bool, now time.Time) Schedule {
	s.Ready = ready
	if !s.Parked {
		s.Base, s.Repeat = now, 0
	}
	return s
}

// Published returns s after the broker confirmed an event for it. wakes and
// woken are what the publisher read: how often the resource had been woken by
// then, and whether a wake-up (not an expired backoff) made it due. Only a
// wake-up that the event served is cleared: not one that came after the
// reading, and not one that was still in the future. The next retry follows.
func (s Schedule) Published(b Backoff, wakes int64, woken bool, now time.Time) Schedule {
	if s.Parked {
		return s
	}
	if woken && s.Wakes == wakes {
		s.WakeAt, s.WakeReason = time.Time{}, ""
		if len(s.Later) > 0 {
			s.WakeAt, s.WakeReason, s.Later = s.Later[0], Retry, s.Later[1:]
		}
		if len(s.Later) == 0 {
			s.Later = nil
		}
	}
	if s.Ready {
		s.Base = now
		return s
	}
	s.Base = now.Add(times(b.NotReady, 1<<s.Repeat-1))
	s.Repeat = min(s.Repeat+1, MaxRepeat)
	return s
}

// times returns n·d, or the longest duration where that is more than one holds.
func times(d time.Duration, n int) time.Duration {
	if n > 0 && d > math.MaxInt64/time.Duration(n) {
		return math.MaxInt64
	}
	return d * time.Duration(n)
}
