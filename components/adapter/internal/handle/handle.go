package handle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/precondition"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// retryAfter is how long the event of a resource rests on which alone the API
// fails.
const retryAfter = 10 * time.Second

// API is what an adapter asks of the API. Errors carry a [fleet.Code].
type API interface {
	// Get returns a resource with its adapters' messages and data in full.
	Get(ctx context.Context, typ fleet.ResourceType, id string) (fleet.Resource, error)
	Report(ctx context.Context, typ fleet.ResourceType, id string, r fleet.NewReport) (fleet.Report, error)
	// Adapters returns every adapter that is registered, or required; what it
	// says may be some seconds old.
	Adapters(ctx context.Context) ([]fleet.Adapter, error)
}

// Runner runs Jobs.
type Runner interface {
	// Ensure makes the Job exist and says whether this call created it. That it
	// exists already, running or ended, is success; if it ended, its end is
	// delivered again. The error is [jobspec.ErrForeign] when something else has
	// its name, else the runner is away.
	Ensure(ctx context.Context, j jobspec.Job) (created bool, err error)
	// Cancel cancels the adapter's Jobs of a resource for generations before the
	// given one, and says whether none of them runs any more.
	Cancel(adapter string, t fleet.ResourceType, id string, before int64) (stopped bool)
}

// Handler handles the events and the ended Jobs of one adapter. It is safe for
// concurrent use.
type Handler struct {
	cfg     v1alpha1.AdapterConfig
	adapter string
	limit   int
	chain   *precondition.Chain
	api     API
	runner  Runner
	metrics *Metrics
	log     *slog.Logger
	beats   beats
	alone   alone
}

// New returns the handler of cfg, which has its defaults set.
func New(cfg v1alpha1.AdapterConfig, chain *precondition.Chain, api API, runner Runner, m *Metrics, log *slog.Logger) *Handler {
	return &Handler{cfg: cfg, adapter: cfg.Spec.AdapterType, limit: int(*cfg.Spec.Retry.Limit), chain: chain,
		api: api, runner: runner, metrics: m, log: log.With("adapter", cfg.Spec.AdapterType)}
}

// Handle decides on one delivery.
func (h *Handler) Handle(ctx context.Context, d broker.Delivery) broker.Outcome {
	h.metrics.consumed.Inc()
	out := h.decide(ctx, d)
	if out.Kind == broker.Acked {
		h.alone.worked(d.Event.Subject())
	}
	return out
}

func (h *Handler) decide(ctx context.Context, d broker.Delivery) broker.Outcome {
	e, err := reconcile.Decode(d.Event)
	if err != nil {
		h.log.Warn("event rejected", "event", d.Event.ID(), "err", err)
		return broker.Reject(err.Error())
	}
	if !slices.Contains(h.cfg.Spec.ResourceTypes, string(e.ResourceType)) {
		return broker.Reject(fmt.Sprintf("adapter %s does not handle %s", h.adapter, e.ResourceType))
	}
	r, err := h.api.Get(ctx, e.ResourceType, e.ResourceID)
	if err != nil {
		return h.settle(ctx, e, "fetch", err)
	}
	p := next(r, h.adapter, h.limit, d.Event.Time())
	log := h.log.With("cluster", r.ID, "event", d.Event.ID())
	switch {
	case r.Paused:
		log.Debug("paused")
		return broker.Ack()
	case p.step == rest:
		log.Debug("nothing to do", "attempt", p.attempt)
		return broker.Ack()
	case r.Deleting():
		return h.finalise(ctx, e, r, p)
	}
	s := jobspec.Subject{Type: e.ResourceType, Resource: r}
	in, err := h.gather(ctx, &s)
	if err != nil {
		return h.settle(ctx, e, "fetch what it depends on", err)
	}
	if p.step == start {
		if v := h.chain.Judge(in); !v.Met {
			log.Debug("preconditions unmet", "reason", v.Reason)
			return h.pend(ctx, e, r, p, v.Reason)
		}
	} else if v := h.chain.Dependencies(in); !v.Met {
		// The Job needs its dependencies' data; that they are Complete again will be an event.
		log.Debug("started attempt lacks input", "reason", v.Reason)
		return broker.Ack()
	}
	return h.launch(ctx, e, s, p)
}

// gather fetches what else a verdict on s depends on, and its owner into s.
func (h *Handler) gather(ctx context.Context, s *jobspec.Subject) (precondition.Input, error) {
	if info, _ := s.Type.Info(); info.Owner != "" {
		owner, err := h.api.Get(ctx, info.Owner, s.Resource.OwnerID())
		if err != nil {
			return precondition.Input{}, err
		}
		s.Owner = &owner
	}
	apart, err := h.apart(ctx, s.Type, h.chain.Waiting(s.Resource))
	return precondition.Input{Resource: s.Resource, Documents: s.Documents(), Apart: apart, Now: time.Now()}, err
}

// apart returns those of the adapters that have nothing to do with resources of
// the type: they are registered, but not for it.
func (h *Handler) apart(ctx context.Context, t fleet.ResourceType, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known, err := h.api.Adapters(ctx)
	if err != nil {
		return nil, err
	}
	var apart []string
	for _, a := range known {
		if slices.Contains(names, a.Name) && a.Registered() && !slices.Contains(a.ResourceTypes, t) && !slices.Contains(a.RequiredFor, t) {
			apart = append(apart, a.Name)
		}
	}
	return apart, nil
}

// pend reports that attempt p waits, unless that is known.
func (h *Handler) pend(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan, reason string) broker.Outcome {
	h.metrics.unmet.Inc()
	own, _ := r.Status.Adapter(h.adapter)
	if own.Phase == fleet.ReportPending && own.ObservedGeneration == r.Generation && own.Attempt == p.attempt && own.Message == reason {
		return broker.Ack()
	}
	return h.settle(ctx, e, "report Pending", h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
		Phase: fleet.ReportPending, Message: reason, ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.base,
	}))
}

// launch stores the intent and makes sure that the Job of p exists.
func (h *Handler) launch(ctx context.Context, e fleet.ReconcileEvent, s jobspec.Subject, p plan) broker.Outcome {
	r := s.Resource
	job, err := jobspec.New(h.cfg, s, p.attempt, p.base)
	if err != nil {
		return h.fail(ctx, e, r, p, err)
	}
	if p.step == start || h.beats.due(job.Name, time.Now()) {
		err := h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
			Phase: fleet.ReportRunning, Message: "job " + job.Name, ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.base,
		})
		if err != nil {
			return h.settle(ctx, e, "report Running", err)
		}
		h.beats.sent(job.Name, time.Now())
		if p.step == start && p.attempt > p.base+1 {
			h.metrics.retries.Inc()
		}
	}
	created, err := h.runner.Ensure(ctx, job)
	switch {
	case errors.Is(err, jobspec.ErrForeign):
		return h.fail(ctx, e, r, p, err)
	case err != nil:
		h.log.Warn("runner unavailable", "cluster", r.ID, "err", err)
		return broker.Pause("runner unavailable: " + err.Error())
	case created:
		h.metrics.created.Inc()
		h.log.Info("job created", "cluster", r.ID, "job", job.Name)
	}
	return broker.Ack()
}

// fail reports that attempt p cannot work.
func (h *Handler) fail(ctx context.Context, e fleet.ReconcileEvent, r fleet.Resource, p plan, why error) broker.Outcome {
	h.log.Warn("attempt cannot work", "cluster", r.ID, "err", why)
	return h.settle(ctx, e, "report Failed", h.report(ctx, e.ResourceType, r.ID, fleet.NewReport{
		Phase: fleet.ReportFailed, Message: clean(why.Error()), ObservedGeneration: r.Generation, Attempt: p.attempt, AttemptBase: p.base,
	}))
}

// settle turns what the API answered into what becomes of the event.
func (h *Handler) settle(ctx context.Context, e fleet.ReconcileEvent, what string, err error) broker.Outcome {
	switch code := fleet.ErrorCode(err); {
	case err == nil, final(code):
		return broker.Ack()
	case code.Passing(), ctx.Err() != nil, code == fleet.Internal && !h.alone.fails(e.ResourceID):
		return broker.Pause(fmt.Sprintf("%s: %v", what, err))
	default:
		h.log.Error("event put off", "cluster", e.ResourceID, "err", fmt.Errorf("%s: %w", what, err))
		return broker.Retry(retryAfter)
	}
}

// report sends r in the adapter's name.
func (h *Handler) report(ctx context.Context, typ fleet.ResourceType, id string, r fleet.NewReport) error {
	r.AdapterName = h.adapter
	if r.LastTransitionTime == nil {
		now := fleet.At(time.Now())
		r.LastTransitionTime = &now
	}
	_, err := h.api.Report(ctx, typ, id, r)
	if err == nil {
		h.metrics.reported.SetToCurrentTime()
	}
	return err
}

// final says that the API has nothing more to hear of a report: the resource
// is gone, or knows better.
func final(c fleet.Code) bool {
	return c == fleet.NotFound || c.HTTPStatus() == http.StatusConflict
}
