package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/handle"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/precondition"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Deps are the things that an adapter works with.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer // several adapters may share one
	Health   *service.Health       // nil: readiness is not asked for
	// Transport carries requests to the API; nil means one of its own.
	Transport http.RoundTripper
	// Subscriber opens a subscription.
	Subscriber func(context.Context, SubscriptionSpec) (broker.Subscriber, error)
	// DeadLetters opens a subscription's dead letters, which are then counted;
	// nil: they are not.
	DeadLetters func(context.Context, SubscriptionSpec) (broker.DeadLetters, error)
	// Runner runs the Jobs; several adapters may share one.
	Runner Runner
}

// SubscriptionSpec says what to subscribe to.
type SubscriptionSpec struct {
	Broker       v1alpha1.SubscriberBroker // with its defaults set
	ResourceType fleet.ResourceType
	Topic        string // the resource type's own, where the broker has topics
	Subscription string // differs between resource types
	Limits       broker.Limits
}

// Runner runs Jobs: see [NewDirRunner].
type Runner interface {
	handle.Runner
	// Run runs the adapter's Jobs until ctx ends, those of earlier processes
	// included. Each end is given to keeper until that takes it, across restarts.
	Run(ctx context.Context, adapter string, keeper jobspec.Keeper) error
	// InFlight counts the adapter's Jobs whose end was not taken yet.
	InFlight(adapter string) int
}

// Adapter is one adapter, ready to run.
type Adapter struct {
	name          string // as it reports
	handler       *handle.Handler
	runner        Runner
	registration  *registration
	subscriptions []SubscriptionSpec
	reached       *contact
	deps          Deps

	mu      sync.Mutex
	brokers []broker.Checker // of the subscriptions, while Run runs
}

// New compiles the adapter's preconditions and puts it together. Its error
// names every problem of the configuration.
func New(cfg Config, deps Deps) (*Adapter, error) {
	a, invalid := cfg.resolve()
	chain, err := compile(a)
	if err := errors.Join(invalid, err); err != nil {
		return nil, err
	}
	if cfg.TokenFile != "" {
		deps.Transport = client.Bearer(deps.Transport, client.TokenFile(cfg.TokenFile))
	}
	api, err := client.New(a.Spec.HyperfleetAPI.URL, deps.Transport, a.Spec.HyperfleetAPI.Timeout.Duration)
	if err != nil {
		return nil, err
	}
	name := a.Spec.AdapterType
	metrics, err := handle.NewMetrics(deps.Registry, name, func() int { return deps.Runner.InFlight(name) })
	if err != nil {
		return nil, err
	}
	reached := &contact{api: api}
	if deps.Health != nil {
		deps.Health.Add("adapter "+name+": API", reached.check)
	}
	return &Adapter{
		name:          name,
		handler:       handle.New(a, chain, reached, deps.Runner, metrics, deps.Log),
		runner:        deps.Runner,
		registration:  &registration{name: name, instance: instanceOf(a, cfg.Region), register: reached.register, log: deps.Log},
		subscriptions: subscriptions(a, cfg.Concurrency),
		reached:       reached,
		deps:          deps,
	}, nil
}

// compile compiles the preconditions of a. That there is none where one stands is
// for [v1alpha1.AdapterConfig.Validate] to say.
func compile(a v1alpha1.AdapterConfig) (*precondition.Chain, error) {
	var expressions []string
	var at []int
	for i, p := range a.Spec.Criteria.Preconditions {
		if strings.TrimSpace(p.Expression) != "" {
			expressions, at = append(expressions, p.Expression), append(at, i)
		}
	}
	return precondition.Compile(a.Spec.Criteria.Dependencies, nouns(), expressions, func(i int) string {
		return fmt.Sprintf("AdapterConfig %q: spec.criteria.preconditions[%d].expression", a.Name, at[i])
	})
}

// nouns are what expressions call a resource of each type.
func nouns() []string {
	var all []string
	for _, info := range fleet.Types() {
		all = append(all, jobspec.Noun(info))
	}
	return all
}

// subscriptions lists one subscription per resource type: clusters have the
// configured name, other types add theirs to it.
func subscriptions(a v1alpha1.AdapterConfig, concurrency int) []SubscriptionSpec {
	var all []SubscriptionSpec
	for _, t := range a.Spec.ResourceTypes {
		info, _ := fleet.ResourceType(t).Info()
		s := SubscriptionSpec{
			Broker: *a.Spec.Broker, ResourceType: info.Type, Topic: info.Topic, Subscription: a.Spec.Broker.Subscription,
			Limits: broker.Limits{Concurrency: concurrency, MaxDeliveries: int(*a.Spec.Broker.MaxDeliveries)},
		}
		if info.Type != fleet.Clusters {
			s.Subscription += "-" + t
			s.Broker = ofType(s.Broker, info.Type)
		}
		all = append(all, s)
	}
	return all
}

// ofType is where the events of a resource type are, on a broker where the
// configuration says where: "clusters" stands for the type.
func ofType(b v1alpha1.SubscriberBroker, t fleet.ResourceType) v1alpha1.SubscriberBroker {
	b.Exchange = strings.ReplaceAll(b.Exchange, string(fleet.Clusters), string(t))
	b.RoutingKey = strings.ReplaceAll(b.RoutingKey, string(fleet.Clusters), string(t))
	return b
}

// Subscriptions lists what Run subscribes to.
func (a *Adapter) Subscriptions() []SubscriptionSpec { return a.subscriptions }

// Run receives events and runs Jobs until ctx ends, then returns within 10
// seconds. A Job that was cut off is run again by the next process.
func (a *Adapter) Run(ctx context.Context) error {
	a.mu.Lock()
	a.brokers = nil
	a.mu.Unlock()
	var watched []*deadLetters
	parts := []service.Part{
		{Name: "jobs of " + a.name, Run: func(ctx context.Context) error { return a.runner.Run(ctx, a.name, a.handler) }},
		{Name: "registration of " + a.name, Run: a.registration.run},
	}
	for _, s := range a.subscriptions {
		sub, err := a.deps.Subscriber(ctx, s)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", s.Subscription, err)
		}
		if c, ok := sub.(broker.Checker); ok {
			a.watchBroker(s.Subscription, c)
		}
		parts = append(parts, service.Part{Name: "subscription " + s.Subscription, Run: func(ctx context.Context) error {
			return sub.Receive(ctx, a.handler.Handle)
		}})
		if a.deps.DeadLetters == nil {
			continue
		}
		letters, err := a.deps.DeadLetters(ctx, s)
		if err != nil {
			return fmt.Errorf("open the dead letters of %s: %w", s.Subscription, err)
		}
		watch, err := watchDeadLetters(a.deps.Registry, a.name, s.Subscription, letters, a.deps.Log)
		if err != nil {
			return err
		}
		defer a.deps.Registry.Unregister(watch)
		watched = append(watched, watch)
		parts = append(parts, service.Part{Name: "dead letters of " + s.Subscription, Run: watch.run})
	}
	a.registration.letters = func() fleet.DeadLetters { return total(watched) }
	return service.Run(ctx, parts...)
}

// watchBroker has the connection of a subscription asked for.
func (a *Adapter) watchBroker(subscription string, c broker.Checker) {
	if a.deps.Health != nil {
		a.deps.Health.Add("adapter "+a.name+": broker, "+subscription, c.Check)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.brokers = append(a.brokers, c)
}

// checkBroker says what is wrong with the connections to the broker.
func (a *Adapter) checkBroker(ctx context.Context) error {
	a.mu.Lock()
	all := slices.Clone(a.brokers)
	a.mu.Unlock()
	var problems []error
	for _, c := range all {
		problems = append(problems, c.Check(ctx))
	}
	return errors.Join(problems...)
}
