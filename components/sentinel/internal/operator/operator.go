package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/engine"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

const (
	name        = "hyperfleet-sentinel" // of the controller, and of who reports events
	stopTimeout = 3 * time.Second       // of what the controller does at the moment of the stop
	maxChanges  = 1024                  // shards whose change waits to be looked at
	firstRetry  = time.Second           // after a status could not be written
	lastRetry   = 15 * time.Second      // the same when that goes on
)

// Config is what one operator watches.
type Config struct {
	Kubernetes *rest.Config
	Namespace  string
	Names      []string // of the SentinelConfigs; none = all of the namespace
	Replica    string   // who this process is
}

// Deps are what an operator works with.
type Deps struct {
	Log    *slog.Logger
	Health *service.Health
	// Complete fills in what a config leaves to the process, and says what is
	// wrong with the whole.
	Complete func(v1alpha1.SentinelConfig) (v1alpha1.SentinelConfig, error)
}

// Operator watches SentinelConfigs. It has to be told by Changed and Leave of
// what the engine does.
type Operator struct {
	manager manager.Manager
	tell    *teller
	changes chan event.GenericEvent
	synced  atomic.Bool
	names   []string
	deps    Deps
}

// New returns an operator that watches nothing until Run.
func New(c Config, d Deps) (*Operator, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register the kinds: %w", err)
	}
	mine := cache.ByObject{}
	if len(c.Names) == 1 {
		mine.Field = fields.OneTermEqualSelector("metadata.name", c.Names[0])
	}
	m, err := manager.New(c.Kubernetes, manager.Options{
		Scheme: scheme, Logger: logr.FromSlogHandler(d.Log.Handler()),
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{c.Namespace: {}},
			ByObject:          map[client.Object]cache.ByObject{&v1alpha1.SentinelConfig{}: mine},
		},
		Metrics:                 metricsserver.Options{BindAddress: "0"}, // the process has a registry and a server of its own
		HealthProbeBindAddress:  "0",
		GracefulShutdownTimeout: new(stopTimeout),
		Controller:              config.Controller{SkipNameValidation: new(true)}, // names are process-wide
	})
	if err != nil {
		return nil, fmt.Errorf("connect to Kubernetes: %w", err)
	}
	o := &Operator{manager: m, changes: make(chan event.GenericEvent, maxChanges), names: c.Names, deps: d,
		tell: &teller{client: m.GetClient(), events: m.GetEventRecorder(name), namespace: c.Namespace, replica: c.Replica,
			log: d.Log, written: map[string]record{}}}
	d.Health.Add("SentinelConfigs", o.ready)
	return o, nil
}

// watch has r look at every SentinelConfig that changes, and at every shard.
func (o *Operator) watch(r *reconciler) error {
	wanted := predicate.NewTypedPredicateFuncs(func(c *v1alpha1.SentinelConfig) bool {
		return len(o.names) == 0 || slices.Contains(o.names, c.Name)
	})
	c, err := controller.New(name, o.manager, controller.Options{Reconciler: r,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry)})
	if err != nil {
		return err
	}
	err = c.Watch(source.Kind(o.manager.GetCache(), &v1alpha1.SentinelConfig{}, &handler.TypedEnqueueRequestForObject[*v1alpha1.SentinelConfig]{},
		wanted, predicate.TypedGenerationChangedPredicate[*v1alpha1.SentinelConfig]{}))
	if err != nil {
		return err
	}
	return c.Watch(source.Channel(o.changes, &handler.EnqueueRequestForObject{}))
}

// Run has the engine run what the namespace says until ctx ends.
func (o *Operator) Run(ctx context.Context, e *engine.Engine) error {
	r := &reconciler{client: o.manager.GetClient(), engine: e, complete: o.deps.Complete, tell: o.tell, log: o.deps.Log, judged: map[string]judgement{}}
	if err := o.watch(r); err != nil {
		return fmt.Errorf("watch SentinelConfigs: %w", err)
	}
	err := o.manager.Add(manager.RunnableFunc(func(ctx context.Context) error { // begins once the SentinelConfigs are known
		o.synced.Store(true)
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		return fmt.Errorf("watch SentinelConfigs: %w", err)
	}
	if err := o.manager.Start(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch SentinelConfigs: %w", err)
	}
	return nil
}

// Changed has the operator look at a shard soon. It does not wait.
func (o *Operator) Changed(shard string) {
	select {
	case o.changes <- event.GenericEvent{Object: named(o.tell.namespace, shard)}:
	default: // it is looked at within lookEvery
	}
}

// Leave tells that this replica gives a shard up.
func (o *Operator) Leave(ctx context.Context, shard string) { o.tell.leave(ctx, shard) }

func (o *Operator) ready(context.Context) error {
	if !o.synced.Load() {
		return errors.New("the SentinelConfigs have not been read yet")
	}
	return nil
}
