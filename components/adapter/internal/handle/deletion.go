package handle

import (
	"context"
	"slices"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// finalise does the adapter's part in the deletion of r once everybody who builds
// on it has done theirs and its own older Jobs have stopped, and until then
// reports why not. Without a Job for it that part is Complete at once.
func (h *Handler) finalise(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan) broker.Outcome {
	s := jobspec.Subject{Type: e.ResourceType, Resource: r}
	if p.step == start {
		if waits, out := h.deletionWaits(ctx, e, s, p); waits {
			return out
		}
	}
	if h.cfg.Spec.Deletion == nil {
		return h.settle(ctx, e, "report Complete", h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
			Phase: fleet.ReportComplete, Message: "nothing to do for the deletion",
			ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.base,
		}))
	}
	if err := h.own(ctx, &s); err != nil {
		return h.settle(ctx, e, "fetch what it belongs to", err)
	}
	return h.launch(ctx, e, s, p, jobspec.ModeDelete)
}

// deletionWaits says whether the deletion of s cannot begin yet, and then what
// becomes of the event.
func (h *Handler) deletionWaits(ctx context.Context, e fleet.ReconcileEvent, s jobspec.Subject, p plan) (bool, broker.Outcome) {
	r := s.Resource
	known, err := h.api.Adapters(ctx)
	if err != nil {
		return true, h.settle(ctx, e, "fetch the adapters", err)
	}
	stopped, err := h.runner.Cancel(ctx, h.adapter, s)
	if err != nil {
		return true, h.away(r, err)
	}
	if reason := awaited(e.ResourceType, r, h.adapter, known); reason != "" {
		h.log.Debug("deletion waits", "cluster", r.ID, "reason", reason)
		return true, h.pend(ctx, e, r, p, reason)
	}
	if !stopped {
		return true, h.pend(ctx, e, r, p, "deletion waits for a job that is being cancelled")
	}
	return false, broker.Outcome{}
}

// awaited says for whom the deletion of r by the named adapter waits, "" if for
// nobody: for those who take part and depend on it, and, because it is not
// known whether they do, for those who are not registered.
func awaited(t fleet.ResourceType, r fleet.Resource, adapter string, known []fleet.Adapter) string {
	var dependents, unknown []string
	for _, a := range fleet.Participants(t, known, r.Status.Adapters) {
		own, _ := r.Status.Adapter(a.Name)
		switch {
		case a.Name == adapter, own.Phase == fleet.ReportComplete && own.ObservedGeneration == r.Generation:
		case !a.Registered():
			unknown = append(unknown, a.Name)
		case slices.Contains(a.Dependencies, adapter):
			dependents = append(dependents, a.Name)
		}
	}
	var reasons []string
	if len(dependents) > 0 {
		reasons = append(reasons, "deletion waits for "+strings.Join(dependents, ", "))
	}
	if len(unknown) > 0 {
		reasons = append(reasons, "deletion waits for the registration of "+strings.Join(unknown, ", "))
	}
	return strings.Join(reasons, "; ")
}
