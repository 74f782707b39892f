package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// askedAgain is the message of the report that takes back a final one.
const askedAgain = "reconcile requested"

// Reconcile makes a resource due now, and the named adapters (none: those that
// Failed; none of them: all) begin another attempt: each whose report on the
// current generation is final gets a newer one that is Pending. What is paused is
// fleet.Conflict. What waits for the deletion of what belongs to it becomes due
// once that is over, as it would have without a request.
func (s *Store) Reconcile(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, adapters []string) (fleet.Resource, error) {
	var out fleet.Resource
	var before fleet.Phase
	err := s.underLock(ctx, t, sc, id, func(ctx context.Context, l locked, owner *locked) error {
		before = l.Resource.Status.Phase
		if l.row.Paused {
			return fleet.Errorf(fleet.Conflict, "%s is paused; set paused to false instead, which reconciles it as well", l.title())
		}
		if err := s.involved(l, adapters); err != nil {
			return err
		}
		l, n, err := l.again(ctx, adapters)
		if err != nil {
			return err
		}
		if err := s.ask(ctx, l, owner, n > 0); err != nil {
			return err
		}
		if err := l.audit(ctx, fleet.ActionReconcile, l.row.Generation); err != nil {
			return err
		}
		out, err = l.tx.get(ctx, t, id)
		return err
	})
	if err != nil {
		return fleet.Resource{}, outward(ctx, "reconcile "+t.Kind, err)
	}
	s.log.InfoContext(ctx, "reconcile requested", "cluster", id, "adapters", adapters)
	s.phaseChanged(ctx, id, before, out.Status.Phase)
	return out, nil
}

// involved refuses names of adapters that have nothing to do with l: no such
// one is required, and none reported.
func (s *Store) involved(l locked, named []string) error {
	there := slices.Clone(s.required[l.tx.info.Type])
	for _, a := range l.Resource.Status.Adapters {
		there = append(there, a.AdapterName)
	}
	slices.Sort(there)
	there = slices.Compact(there)
	for _, name := range named {
		if !slices.Contains(there, name) {
			return invalid("adapter", "%q is neither required nor has it reported; there are %s", name, strings.Join(there, ", "))
		}
	}
	return nil
}

// afresh chooses the adapters of r that shall begin another attempt.
func afresh(r fleet.Resource, named []string) []fleet.AdapterStatus {
	var final, failed []fleet.AdapterStatus
	for _, a := range r.Status.Adapters {
		if a.ObservedGeneration != r.Generation || !a.Phase.Final() || len(named) > 0 && !slices.Contains(named, a.AdapterName) {
			continue
		}
		final = append(final, a)
		if a.Phase == fleet.ReportFailed {
			failed = append(failed, a)
		}
	}
	if len(named) == 0 && len(failed) > 0 {
		return failed
	}
	return final
}

// again takes back final reports and says how many. The resource that it
// returns has the newer ones, and stands at the moment of the last.
func (l locked) again(ctx context.Context, named []string) (locked, int, error) {
	start, chosen := l.now, afresh(l.Resource, named)
	for i, a := range chosen {
		l.now = start.Add(time.Duration(i) * time.Microsecond) // moments of one history never repeat
		r, err := l.store(ctx, "", entry{Report: fleet.Report{
			AdapterName: a.AdapterName, Phase: fleet.ReportPending, Message: askedAgain, LastTransitionTime: fleet.At(l.now),
			ObservedGeneration: a.ObservedGeneration, Attempt: a.Attempt, AttemptBase: a.Attempt,
		}}, l.now)
		if err != nil {
			return l, 0, err
		}
		if err := l.latest(ctx, r); err != nil {
			return l, 0, err
		}
		l.Resource.Status.Adapters = withReport(l.Resource.Status.Adapters, r)
	}
	return l, len(chosen), nil
}

// ask rolls up and wakes, after reports were taken back or without any.
func (s *Store) ask(ctx context.Context, l locked, owner *locked, taken bool) error {
	in, err := s.gather(ctx, l)
	if err != nil {
		return err
	}
	in.Reported = taken
	o := conclude(in)
	o.plan.wakes = []wake{{l.now, fleet.Requested}}
	if taken {
		o.plan.base = &l.now
	}
	if !taken && !o.over && alike(o.status, l.Resource.Status) {
		if err := l.tx.exec(ctx, touchSQL, l.row.ID, l.now); err != nil {
			return err
		}
		return l.tx.reschedule(ctx, l.row.ID, l.row.Generation, l.Resource.Status, o.plan)
	}
	_, err = s.settle(ctx, l, owner, o)
	return err
}
