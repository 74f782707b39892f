package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// askedAgain is the message of the report that takes back a final one.
const askedAgain = "reconcile requested"

// Reconcile makes a resource due now, and the named adapters (none: those that
// Failed; none of them: all) begin another attempt: each whose report on the
// current generation is final gets a newer one that is Pending. What is paused is
// fleet.Conflict. What waits for the deletion of what belongs to it becomes due
// once that is over, as it would have without a request.
func (s *Desk) Reconcile(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, adapters []string) (fleet.Resource, error) {
	var out fleet.Resource
	var before fleet.Phase
	err := s.under.UnderLock(ctx, t, sc, id, func(ctx context.Context, l resource.Locked, owner *resource.Locked) error {
		before = l.Resource.Status.Phase
		if l.Row.Paused {
			return fleet.Errorf(fleet.Conflict, "%s is paused; set paused to false instead, which reconciles it as well", l.Title())
		}
		if err := s.involved(l, adapters); err != nil {
			return err
		}
		l, n, err := takeBack(ctx, l, adapters)
		if err != nil {
			return err
		}
		if err := s.ask(ctx, l, owner, n > 0); err != nil {
			return err
		}
		if err := l.Audit(ctx, fleet.ActionReconcile, l.Row.Generation); err != nil {
			return err
		}
		out, err = resource.Fetch(ctx, l.Tx, t, id)
		return err
	})
	if err != nil {
		return fleet.Resource{}, database.Outward(ctx, "reconcile "+t.Kind, err)
	}
	s.log.InfoContext(ctx, "reconcile requested", "cluster", id, "adapters", adapters)
	s.under.PhaseChanged(ctx, id, before, out.Status.Phase)
	return out, nil
}

// involved refuses names of adapters that have nothing to do with l: no such
// one is required, and none reported.
func (s *Desk) involved(l resource.Locked, named []string) error {
	there := slices.Clone(s.under.Required[l.Tx.Info.Type])
	for _, a := range l.Resource.Status.Adapters {
		there = append(there, a.AdapterName)
	}
	slices.Sort(there)
	there = slices.Compact(there)
	for _, name := range named {
		if !slices.Contains(there, name) {
			return database.Invalid("adapter", "%q is neither required nor has it reported; there are %s", name, strings.Join(there, ", "))
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

// takeBack takes back final reports and says how many. The resource that it
// returns has the newer ones, and stands at the moment of the last.
func takeBack(ctx context.Context, l resource.Locked, named []string) (resource.Locked, int, error) {
	start, chosen := l.Now, afresh(l.Resource, named)
	for i, a := range chosen {
		l.Now = start.Add(time.Duration(i) * time.Microsecond) // moments of one history never repeat
		r, err := store(ctx, l, "", entry{Report: fleet.Report{
			AdapterName: a.AdapterName, Phase: fleet.ReportPending, Message: askedAgain, LastTransitionTime: fleet.At(l.Now),
			ObservedGeneration: a.ObservedGeneration, Attempt: a.Attempt, AttemptBase: a.Attempt,
		}}, l.Now)
		if err != nil {
			return l, 0, err
		}
		if err := setLatest(ctx, l, r); err != nil {
			return l, 0, err
		}
		l.Resource.Status.Adapters = withReport(l.Resource.Status.Adapters, r)
	}
	return l, len(chosen), nil
}

// ask rolls up and wakes, after reports were taken back or without any.
func (s *Desk) ask(ctx context.Context, l resource.Locked, owner *resource.Locked, taken bool) error {
	in, err := s.under.Gather(ctx, l)
	if err != nil {
		return err
	}
	in.Reported = taken
	o := resource.Conclude(in)
	o.Plan.Wakes = []schedule.Wake{{At: l.Now, Why: fleet.Requested}}
	if taken {
		o.Plan.Base = &l.Now
	}
	if !taken && !o.Over && resource.Alike(o.Status, l.Resource.Status) {
		if err := l.Tx.Exec(ctx, resource.TouchSQL, l.Row.ID, l.Now); err != nil {
			return err
		}
		return schedule.Move(ctx, l.Tx, l.Row.ID, l.Row.Generation, l.Resource.Status, o.Plan)
	}
	_, err = s.under.Settle(ctx, l, owner, o)
	return err
}
