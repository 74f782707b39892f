package handle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// launch stores the intent and makes sure that the Job of p exists.
func (h *Handler) launch(ctx context.Context, e fleet.ReconcileEvent, s jobspec.Subject, p plan, mode string) broker.Outcome {
	job, err := h.job(s, p, mode)
	if err != nil {
		return h.fail(ctx, e, s.Resource, p, err)
	}
	if p.step == start || h.beats.due(job.Name, time.Now()) {
		err := h.report(ctx, e.ResourceType, s.Resource.ID, fleet.NewReport{
			Phase: fleet.ReportRunning, Message: "job " + job.Name, ObservedGeneration: s.Resource.Generation, Attempt: p.attempt, AttemptBase: p.base,
		})
		if err != nil {
			return h.settle(ctx, e, "report Running", err)
		}
		h.beats.sent(job.Name, time.Now())
		if p.step == start && p.attempt > p.base+1 {
			h.metrics.retries.Inc()
		}
	}
	return h.ensure(ctx, e, s.Resource, p, job)
}

func (h *Handler) job(s jobspec.Subject, p plan, mode string) (jobspec.Job, error) {
	return jobspec.New(h.cfg, s, jobspec.Attempt{Number: p.attempt, Base: p.base, Mode: mode, Check: p.moment})
}

// ensure makes sure that the Job of p exists. Of a check that cannot be made
// nothing is reported: what was done is not known to be undone.
func (h *Handler) ensure(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan, job jobspec.Job) broker.Outcome {
	created, err := h.runner.Ensure(ctx, job)
	if created { // also where more is missing than the Job
		h.metrics.created.Inc()
		h.log.Info("job created", "cluster", r.ID, "job", job.Name)
	}
	reason, refused := refusal(err)
	if refused {
		h.metrics.refused.WithLabelValues(reason).Inc()
	}
	switch {
	case err == nil:
		return broker.Ack()
	case errors.Is(err, jobspec.ErrLeaving): // its end is an event
		h.log.Debug("job awaits the end of one of its name", "cluster", r.ID, "job", job.Name)
		return broker.Ack()
	case !refused:
		return h.away(r, err)
	case job.Identity.Mode == jobspec.ModeCheck:
		h.log.Warn("check not made", "cluster", r.ID, "job", job.Name, "err", err)
		return broker.Ack()
	case reason == reasonForeign, reason == reasonInvalid:
		return h.fail(ctx, e, r, p, err)
	default:
		return h.blocked(ctx, e, r, p, err)
	}
}

// away pauses until the runner is there again.
func (h *Handler) away(r fleet.Resource, err error) broker.Outcome {
	reason := reasonAway
	if errors.Is(err, jobspec.ErrThrottled) {
		reason = reasonThrottled
	}
	h.metrics.refused.WithLabelValues(reason).Inc()
	h.log.Warn("runner unavailable", "cluster", r.ID, "err", err)
	return broker.Pause("runner unavailable: " + err.Error())
}

// blocked reports that no Job may be made now. The attempt counts for nothing:
// the next follows when the backoff is over, however often.
func (h *Handler) blocked(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan, why error) broker.Outcome {
	h.log.Warn("job not created", "cluster", r.ID, "err", why)
	after := h.cfg.Spec.Retry.Backoff.Duration.String()
	return h.settle(ctx, e, "report Running", h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
		Phase: fleet.ReportRunning, Message: clean(fmt.Sprintf("no job yet, next try in %s: %v", after, why)), RetryAfter: after,
		ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.attempt,
	}))
}

// fail reports that attempt p cannot work.
func (h *Handler) fail(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan, why error) broker.Outcome {
	h.log.Warn("attempt cannot work", "cluster", r.ID, "err", why)
	return h.settle(ctx, e, "report Failed", h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
		Phase: fleet.ReportFailed, Message: clean(why.Error()), ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.base,
	}))
}

// Reasons why no Job was made, as the metric has them.
const (
	reasonForeign   = "foreign"
	reasonInvalid   = "invalid"
	reasonForbidden = "forbidden"
	reasonQuota     = "quota"
	reasonNamespace = "namespace"
	reasonThrottled = "throttled"
	reasonAway      = "unavailable"
)

// reasons lists them all.
func reasons() []string {
	return []string{reasonForeign, reasonInvalid, reasonForbidden, reasonQuota, reasonNamespace, reasonThrottled, reasonAway}
}

// refusal says why the runner does not make the Job, if the reason lies in the
// Job or in what the adapter may do.
func refusal(err error) (reason string, refused bool) {
	for why, reason := range map[error]string{
		jobspec.ErrForeign: reasonForeign, jobspec.ErrInvalid: reasonInvalid, jobspec.ErrForbidden: reasonForbidden,
		jobspec.ErrQuota: reasonQuota, jobspec.ErrNamespace: reasonNamespace,
	} {
		if errors.Is(err, why) {
			return reason, true
		}
	}
	return "", false
}
