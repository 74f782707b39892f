package ownership

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	coordinationapply "k8s.io/client-go/applyconfigurations/coordination/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Leases of both kinds have one label, by which they are watched, and names that
// cannot meet: the part before the first dot tells the kind.
const (
	leaseLabel    = "hyperfleet.redhat.com/lease"
	leaseOf       = "sentinel"
	shardPrefix   = "sentinel-shard."
	replicaPrefix = "sentinel-replica."
)

const fieldManager = "hyperfleet-sentinel"

// Run says that this replica is there, and watches the others, until ctx ends;
// then it takes that back at once, so that what it gives up goes to those that
// stay. It returns nil.
func (r *Replica) Run(ctx context.Context) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx)
	}()
	told := ""
	for ctx.Err() == nil {
		told = r.tell(told, r.appear(ctx))
		r.bury(ctx)
		select {
		case <-ctx.Done():
		case <-r.changed:
		case <-time.After(r.Timing.present()):
		}
	}
	r.vanish(ctx)
	<-watched
	return nil
}

// appear renews this replica's own Lease, or makes it.
func (r *Replica) appear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timing.RenewDeadline/2)
	defer cancel()
	lease := coordinationapply.Lease(replicaPrefix+r.Identity, r.Namespace).
		WithLabels(map[string]string{leaseLabel: leaseOf}).
		WithAnnotations(map[string]string{shardsAnnotation: strings.Join(r.claimed(), ",")}).
		WithSpec(coordinationapply.LeaseSpec().WithHolderIdentity(r.Identity).WithRenewTime(metav1.NowMicro()).
			WithLeaseDurationSeconds(int32(r.Timing.LeaseDuration / time.Second))) //nolint:gosec // an hour at most
	_, err := r.leases.Apply(ctx, lease, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

func (r *Replica) claimed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.claims))
	for shard := range r.claims {
		names = append(names, shard)
	}
	slices.Sort(names)
	return names
}

// tell logs when this replica's presence begins to fail or works again.
func (r *Replica) tell(before string, err error) string {
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == before:
	case err != nil:
		r.log.Warn("other replicas do not see this one", "replica", r.Identity, "err", err)
	default:
		r.log.Info("other replicas see this one", "replica", r.Identity)
	}
	return now
}

// vanish removes this replica's own Lease.
func (r *Replica) vanish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Timing.RetryPeriod)
	defer cancel()
	if err := r.leases.Delete(ctx, replicaPrefix+r.Identity, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		r.log.Warn("other replicas go on seeing this one until its Lease expires", "replica", r.Identity, "err", err)
	}
}

// bury removes the Leases of replicas that are dead. Several may try at once;
// one that was only halted makes its own anew.
func (r *Replica) bury(ctx context.Context) {
	for _, identity := range r.peers.deceased(time.Now()) {
		call, cancel := context.WithTimeout(ctx, r.Timing.RetryPeriod)
		err := r.leases.Delete(call, replicaPrefix+identity, metav1.DeleteOptions{})
		cancel()
		if err != nil && !apierrors.IsNotFound(err) {
			r.log.Debug("the Lease of a dead replica stays", "replica", identity, "err", err)
			return
		}
		r.peers.gone(identity)
	}
}

// watch follows every Lease of the namespace's sentinels until ctx ends.
func (r *Replica) watch(ctx context.Context) {
	quiet := klog.NewContext(ctx, logr.Discard()) // what fails is told below
	only := func(o *metav1.ListOptions) { o.LabelSelector = leaseLabel + "=" + leaseOf }
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			only(&o)
			return r.leases.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			only(&o)
			return r.leases.Watch(ctx, o)
		},
	}, &coordinationv1.Lease{}, 0)
	_ = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() == nil {
			r.log.Warn("the Leases are not watched; it is tried again", "err", err)
		}
	}) // fails only on an informer that runs
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { r.saw(o) },
		UpdateFunc: func(_, o any) { r.saw(o) },
		DeleteFunc: r.lost,
	}) // fails only on one that has ended
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			close(r.synced)
		}
	}()
	informer.RunWithContext(quiet)
}

// saw takes note of a Lease that is there.
func (r *Replica) saw(object any) {
	l, ok := object.(*coordinationv1.Lease)
	if !ok {
		return
	}
	if identity, ok := strings.CutPrefix(l.Name, replicaPrefix); ok {
		r.peers.saw(identity, l, time.Now())
		return
	}
	if shard, ok := strings.CutPrefix(l.Name, shardPrefix); ok && (l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "") {
		r.free(shard)
	}
}

// lost takes note of a Lease that is gone.
func (r *Replica) lost(object any) {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return
	}
	_, name, _ = strings.Cut(name, "/")
	if identity, ok := strings.CutPrefix(name, replicaPrefix); ok {
		r.peers.gone(identity)
		return
	}
	if shard, ok := strings.CutPrefix(name, shardPrefix); ok {
		r.free(shard)
	}
}
