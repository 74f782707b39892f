package handle

import (
	"context"
	"fmt"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// look makes sure that the check of p exists.
func (h *Handler) look(ctx context.Context, e fleet.ReconcileEvent, s jobspec.Subject, p plan) broker.Outcome {
	job, err := h.job(s, p, jobspec.ModeCheck)
	if err != nil {
		h.log.Warn("check not made", "cluster", s.Resource.ID, "err", err)
		return broker.Ack()
	}
	return h.ensure(ctx, e, s.Resource, p, job)
}

// checked reports how a check ended. A success repeats the report that it
// confirms, so that it folds; a failure asks for the next attempt. A check of
// what is not the latest any more, or one that was lost, says nothing.
func (h *Handler) checked(ctx context.Context, end jobspec.End) error {
	id := end.Identity
	r, err := h.api.Get(ctx, id.ResourceType, id.ResourceID)
	if fleet.ErrorCode(err) == fleet.NotFound {
		h.concluded(end)
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch what %s checked: %w", end.Name, err)
	}
	own, _ := r.Status.Adapter(h.adapter)
	if !end.Lost && own.Phase == fleet.ReportComplete && own.ObservedGeneration == id.Generation && own.Attempt == id.Attempt {
		if err := h.report(ctx, id.ResourceType, id.ResourceID, verdictOfCheck(own, end)); err != nil && !final(fleet.ErrorCode(err)) {
			return fmt.Errorf("report the end of %s: %w", end.Name, err)
		}
	}
	h.concluded(end)
	return nil
}

// verdictOfCheck is the report that follows from a check of what own says.
func verdictOfCheck(own fleet.AdapterStatus, end jobspec.End) fleet.NewReport {
	if !end.Succeeded {
		return fleet.NewReport{
			Phase: fleet.ReportPending, Message: clean("check failed: " + end.Message),
			ObservedGeneration: own.ObservedGeneration, Attempt: own.Attempt + 1, AttemptBase: own.Attempt,
		}
	}
	at := fleet.At(end.Ended)
	return fleet.NewReport{
		Phase: own.Phase, Message: own.Message, Data: own.Data, LastTransitionTime: &own.LastTransitionTime, CheckedAt: &at,
		ObservedGeneration: own.ObservedGeneration, Attempt: own.Attempt, AttemptBase: own.AttemptBase,
	}
}
