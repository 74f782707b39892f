package handle

import (
	"context"
	"slices"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// finalise reports the adapter's part in the deletion of r as Complete once
// everybody who builds on it has done theirs, and until then why not.
func (h *Handler) finalise(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan) broker.Outcome {
	known, err := h.api.Adapters(ctx)
	if err != nil {
		return h.settle(ctx, e, "fetch the adapters", err)
	}
	if reason := awaited(e.ResourceType, r, h.adapter, known); reason != "" {
		h.log.Debug("deletion waits", "cluster", r.ID, "reason", reason)
		return h.pend(ctx, e, r, p, reason)
	}
	if !h.runner.Cancel(h.adapter, e.ResourceType, r.ID, r.Generation) {
		return h.pend(ctx, e, r, p, "deletion waits for a job that is being cancelled")
	}
	return h.settle(ctx, e, "report Complete", h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
		Phase: fleet.ReportComplete, Message: "nothing to do for the deletion",
		ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.base,
	}))
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
