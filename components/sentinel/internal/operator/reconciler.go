package operator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/engine"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

// lookEvery is how often a shard is asked how it is doing.
const lookEvery = time.Second

// reconciler has the engine run what one SentinelConfig says, and tells on it
// how that goes.
type reconciler struct {
	client   client.Reader
	engine   *engine.Engine
	complete func(v1alpha1.SentinelConfig) (v1alpha1.SentinelConfig, error)
	tell     *teller
	log      *slog.Logger

	mu     sync.Mutex
	judged map[string]judgement
}

// judgement is what was said of one generation of a SentinelConfig.
type judgement struct {
	uid        types.UID
	generation int64
	err        error
}

// Reconcile looks at one SentinelConfig.
func (r *reconciler) Reconcile(ctx context.Context, q reconcile.Request) (reconcile.Result, error) {
	var c v1alpha1.SentinelConfig
	err := r.client.Get(ctx, q.NamespacedName, &c)
	if apierrors.IsNotFound(err) || (err == nil && c.DeletionTimestamp != nil) {
		r.forget(q.Name)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("get SentinelConfig %s: %w", q.Name, err)
	}
	invalid := r.judge(c)
	if err := r.tell.tell(ctx, c, func() (observation, bool) {
		s, ok := r.engine.Status(ctx, c.Name)
		return observation{generation: c.Generation, invalid: invalid, shard: s}, ok && s.Leading
	}); err != nil {
		return reconcile.Result{}, fmt.Errorf("write the status of SentinelConfig %s: %w", c.Name, err)
	}
	return reconcile.Result{RequeueAfter: lookEvery}, nil
}

// judge hands a new generation to the engine, and says what is wrong with it.
func (r *reconciler) judge(c v1alpha1.SentinelConfig) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j, ok := r.judged[c.Name]; ok && j.uid == c.UID && j.generation == c.Generation {
		return j.err
	}
	complete, err := r.complete(c)
	if err == nil {
		err = r.engine.Set(complete)
	}
	if err != nil {
		r.engine.Claim(c.Name)
		r.log.Warn("SentinelConfig is not valid; what ran before goes on", "shard", c.Name, "generation", c.Generation, "err", err)
	} else {
		r.log.Info("SentinelConfig is wanted", "shard", c.Name, "generation", c.Generation)
	}
	r.judged[c.Name] = judgement{c.UID, c.Generation, err}
	return err
}

func (r *reconciler) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.judged[name]; ok {
		r.log.Info("SentinelConfig is gone", "shard", name)
	}
	delete(r.judged, name)
	r.engine.Remove(name)
	r.tell.forget(name)
}

// named is a SentinelConfig of which only the name matters.
func named(namespace, name string) *v1alpha1.SentinelConfig {
	return &v1alpha1.SentinelConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}
