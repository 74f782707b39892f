package postgres

import (
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rollup"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// previous is an adapter's newest report on one generation; zero if there is
// none. What only a fold into the current generation needs is left out of others.
type previous struct {
	id          string
	phase       fleet.ReportPhase
	attempt     int
	base        int // attempt_base
	retryAt     *fleet.Time
	checkedAt   *fleet.Time
	transition  fleet.Time
	sameContent bool // message and data are those of the new report
	split       bool // its partition has ended
}

// entry is a report as it would stand in the history.
type entry struct {
	fleet.Report
	folds bool // it repeats the previous one
}

// verdict is what becomes of a report: writes, as data.
type verdict struct {
	entry
	*resource.Outcome // nil where the report is on an older generation and changes nothing else
}

// decide judges a report on a resource. It is pure: in is the resource under
// its lock, prev the adapter's newest report on the same generation. See the
// API's contract for what folds, what is refused (fleet.Invalid,
// fleet.StaleGeneration, fleet.Superseded) and what wakes the resource.
func decide(in rollup.Input, prev previous, n fleet.NewReport) (verdict, error) {
	e, err := judge(in.Generation, prev, n, in.Now.Time)
	if err != nil || e.ObservedGeneration < in.Generation {
		return verdict{entry: e}, err
	}
	var wakes []schedule.Wake
	if e.RetryAt != nil {
		wakes = append(wakes, schedule.Wake{At: e.RetryAt.Time, Why: fleet.Retry})
	}
	if e.folds {
		e.fold(prev)
	}
	in.Adapters, in.Reported = withReport(in.Adapters, e.Report), true
	o := resource.Conclude(in)
	if e.Phase == fleet.ReportComplete && prev.phase != fleet.ReportComplete && o.Status.Phase != fleet.Ready {
		wakes = append(wakes, schedule.Wake{At: in.Now.Time, Why: fleet.AdapterCompleted})
	}
	o.Worked = e.Phase != fleet.ReportPending
	o.Plan = schedule.Plan{Base: &in.Now.Time, Wakes: wakes}
	return verdict{e, &o}, nil
}

// fold keeps of the previous report what a repetition leaves out.
func (e *entry) fold(prev previous) {
	e.LastTransitionTime = prev.transition
	if e.RetryAt == nil {
		e.RetryAt = prev.retryAt
	}
	if e.CheckedAt == nil {
		e.CheckedAt = prev.checkedAt
	}
}

// judge completes a report on a resource whose generation is current, or says
// why it is refused; now is the moment of storing.
func judge(current int64, prev previous, n fleet.NewReport, now time.Time) (entry, error) {
	e := entry{Report: fleet.Report{
		AdapterName: n.AdapterName, Phase: n.Phase, Message: n.Message, Data: n.Data, LastTransitionTime: fleet.At(now),
		ObservedGeneration: n.ObservedGeneration, Attempt: n.Attempt, AttemptBase: max(n.AttemptBase, prev.base), CheckedAt: n.CheckedAt,
	}}
	if e.ObservedGeneration == 0 {
		e.ObservedGeneration = current
	}
	if e.Attempt == 0 {
		e.Attempt = max(prev.attempt, 1)
		if e.Phase != fleet.ReportPending { // where another attempt was asked for, this is it
			e.Attempt = max(e.Attempt, prev.base+1)
		}
	}
	if n.AttemptBase > e.Attempt {
		return e, database.Invalid("/attempt_base", "%d is beyond attempt %d, which the report is about", n.AttemptBase, e.Attempt)
	}
	if n.LastTransitionTime != nil && !n.LastTransitionTime.IsZero() {
		e.LastTransitionTime = *n.LastTransitionTime
	}
	if n.RetryAfter != "" {
		d, err := time.ParseDuration(n.RetryAfter)
		if err != nil || d < 0 || d > fleet.MaxRetryAfter {
			return e, database.Invalid("/retry_after", "%q is not a duration such as 90s, or is negative or longer than %s", n.RetryAfter, fleet.MaxRetryAfter)
		}
		at := fleet.At(now.Add(d))
		e.RetryAt = &at
	}
	if err := e.refuse(current, prev); err != nil {
		return e, err
	}
	e.folds = prev.id != "" && !prev.split && prev.sameContent && e.Phase == prev.phase && e.Attempt == prev.attempt
	return e, nil
}

// refuse says why the report must not be stored.
func (e *entry) refuse(current int64, prev previous) error {
	switch {
	case e.ObservedGeneration > current:
		return database.Invalid("/observed_generation", "%d does not exist yet; the current generation is %d", e.ObservedGeneration, current)
	case e.ObservedGeneration < current && e.Phase == fleet.ReportRunning:
		return fleet.Errorf(fleet.StaleGeneration, "generation %d is over; the current one is %d", e.ObservedGeneration, current)
	case e.Attempt < prev.attempt:
		return fleet.Errorf(fleet.Superseded, "attempt %d is over; attempt %d was reported", e.Attempt, prev.attempt)
	case e.Attempt == prev.attempt && prev.phase.Final() && !e.Phase.Final():
		return fleet.Errorf(fleet.Superseded, "attempt %d has ended: %s", e.Attempt, prev.phase)
	case e.Attempt <= prev.base && e.Phase != fleet.ReportPending: // a late word on it must not undo what asked for the next
		return fleet.Errorf(fleet.Superseded, "attempt %d has ended, and another one was asked for: report on attempt %d", e.Attempt, prev.base+1)
	}
	return nil
}

// withReport returns the adapters with r in the place of its adapter's.
func withReport(adapters []fleet.AdapterStatus, r fleet.Report) []fleet.AdapterStatus {
	return append(withoutAdapter(adapters, r.AdapterName), fleet.AdapterStatus{
		AdapterName: r.AdapterName, Phase: r.Phase, ObservedGeneration: r.ObservedGeneration,
		Attempt: r.Attempt, AttemptBase: r.AttemptBase, RetryAt: r.RetryAt, CheckedAt: r.CheckedAt,
		Message: r.Message, LastTransitionTime: r.LastTransitionTime,
	})
}

func withoutAdapter(adapters []fleet.AdapterStatus, name string) []fleet.AdapterStatus {
	return slices.DeleteFunc(slices.Clone(adapters), func(a fleet.AdapterStatus) bool { return a.AdapterName == name })
}
