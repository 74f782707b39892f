package handle

import (
	"context"
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
	// delivered again. The error is one of jobspec's, else the runner is away.
	Ensure(ctx context.Context, j jobspec.Job) (created bool, err error)
	// Cancel cancels the adapter's Jobs of s for generations before its own, and
	// says whether none of them runs any more. An error says that the runner is away.
	Cancel(ctx context.Context, adapter string, s jobspec.Subject) (stopped bool, err error)
}

// Handler handles the events and the ended Jobs of one adapter. It is safe for
// concurrent use.
type Handler struct {
	cfg     v1alpha1.AdapterConfig
	adapter string
	rules   rules
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
	set := rules{limit: int(*cfg.Spec.Retry.Limit)}
	if cfg.Spec.Recheck != nil {
		set.recheck = cfg.Spec.Recheck.Every.Duration
	}
	return &Handler{cfg: cfg, adapter: cfg.Spec.AdapterType, rules: set, chain: chain,
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
	p := next(r, h.adapter, h.rules, d.Event.Time())
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
	if h.unseen(r) {
		if _, err := h.runner.Cancel(ctx, h.adapter, s); err != nil {
			return h.away(r, err)
		}
	}
	in, err := h.gather(ctx, &s)
	if err != nil {
		return h.settle(ctx, e, "fetch what it depends on", err)
	}
	if p.step == check {
		return h.look(ctx, e, s, p)
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
	return h.launch(ctx, e, s, p, jobspec.ModeCreate)
}

// unseen says that r has come to a generation on which the adapter has not
// reported, so that a Job of an older one may run.
func (h *Handler) unseen(r fleet.Resource) bool {
	own, _ := r.Status.Adapter(h.adapter)
	return r.Generation > 1 && own.ObservedGeneration < r.Generation
}

// gather fetches what else a verdict on s depends on, and its owner into s.
func (h *Handler) gather(ctx context.Context, s *jobspec.Subject) (precondition.Input, error) {
	if err := h.own(ctx, s); err != nil {
		return precondition.Input{}, err
	}
	apart, err := h.apart(ctx, s.Type, h.chain.Waiting(s.Resource))
	return precondition.Input{Resource: s.Resource, Documents: s.Documents(), Apart: apart, Now: time.Now()}, err
}

// own fetches what s belongs to into it.
func (h *Handler) own(ctx context.Context, s *jobspec.Subject) error {
	info, _ := s.Type.Info()
	if info.Owner == "" {
		return nil
	}
	owner, err := h.api.Get(ctx, info.Owner, s.Resource.OwnerID())
	if err != nil {
		return err
	}
	s.Owner = &owner
	return nil
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
