package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

const (
	// workers is how many Jobs are seen to at once.
	workers = 8
	// A Job that could not be seen to is tried again after a delay that doubles
	// from the first to the last of these.
	firstDelay, lastDelay = 200 * time.Millisecond, 30 * time.Second
	// byResource indexes Jobs by what they are about.
	byResource = "resource"
)

// watch is what one replica knows of one adapter's Jobs.
type watch struct {
	*Runner
	adapter  string
	keeper   jobspec.Keeper
	informer cache.SharedIndexInformer
}

func newWatch(r *Runner, adapter string, keeper jobspec.Keeper) (*watch, error) {
	selector := labels.Set{jobspec.LabelAdapter: adapter}.String()
	factory := informers.NewSharedInformerFactoryWithOptions(r.client, 0, informers.WithNamespace(r.namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector }))
	w := &watch{Runner: r, adapter: adapter, keeper: keeper, informer: factory.Batch().V1().Jobs().Informer()}
	if err := errors.Join(
		w.informer.SetTransform(slim),
		w.informer.AddIndexers(cache.Indexers{byResource: resourceOf}),
		w.informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
			if ctx.Err() == nil {
				r.log.Warn("jobs cannot be watched now", "adapter", adapter, "err", err)
			}
		}),
	); err != nil {
		return nil, fmt.Errorf("set up the watch of jobs of adapter %s: %w", adapter, err)
	}
	return w, nil
}

// slim drops what nobody here reads of a Job: there may be many.
func slim(o any) (any, error) {
	if job, ok := o.(*batchv1.Job); ok {
		job.ManagedFields, job.Spec = nil, batchv1.JobSpec{}
	}
	return o, nil
}

func resourceOf(o any) ([]string, error) {
	job, ok := o.(*batchv1.Job)
	if !ok {
		return nil, nil
	}
	id, _, err := jobspec.Owned(job)
	if err != nil {
		return nil, nil //nolint:nilerr // not ours
	}
	return []string{resourceKey(id)}, nil
}

func resourceKey(id jobspec.Identity) string { return string(id.ResourceType) + "/" + id.ResourceID }

// held counts the Jobs that are kept until their end is stored.
func (w *watch) held() int {
	n := 0
	for _, o := range w.informer.GetStore().List() {
		if job, ok := o.(*batchv1.Job); ok && len(without(job)) < len(job.Finalizers) {
			n++
		}
	}
	return n
}

// run watches until ctx ends, and while this replica leads sees to the Jobs.
func (w *watch) run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { w.informer.RunWithContext(klog.NewContext(ctx, logr.FromSlogHandler(w.log.Handler()))) })
	if !cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced) {
		return nil // ctx ended
	}
	return w.leader.While(ctx, w.lead)
}

// lead sees to the Jobs until ctx ends, beginning with all that there are.
func (w *watch) lead(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstDelay, lastDelay))
	add := func(o any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
			queue.Add(key)
		}
	}
	handler, err := w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, o any) { add(o) }, DeleteFunc: add,
	})
	if err != nil {
		queue.ShutDown()
		return fmt.Errorf("watch jobs of adapter %s: %w", w.adapter, err)
	}
	var working sync.WaitGroup
	for range workers {
		working.Go(func() { w.work(ctx, queue) })
	}
	w.sweep(ctx)
	err = w.informer.RemoveEventHandler(handler)
	queue.ShutDown()
	working.Wait()
	return err
}

func (w *watch) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[string]) {
	for {
		key, down := queue.Get()
		if down {
			return
		}
		err := w.see(ctx, key, queue.Add)
		switch {
		case err == nil || ctx.Err() != nil:
			queue.Forget(key)
		case apierrors.IsConflict(err): // it has changed since it was seen here
			queue.AddRateLimited(key)
		default:
			w.log.Warn("job not seen to yet", "job", key, "err", err)
			queue.AddRateLimited(key)
		}
		queue.Done(key)
	}
}

// see does what the Job of the key needs. again asks to see another.
func (w *watch) see(ctx context.Context, key string, again func(string)) error {
	o, exists, err := w.informer.GetStore().GetByKey(key)
	if err != nil || !exists || ctx.Err() != nil {
		return err
	}
	job, ok := o.(*batchv1.Job)
	if !ok {
		return nil
	}
	id, base, err := jobspec.Owned(job)
	if err != nil {
		return nil // not ours
	}
	newer, older, err := w.siblings(id)
	if err != nil {
		return err
	}
	for _, o := range older {
		if judge(o, true) == cancel {
			again(o.Namespace + "/" + o.Name)
		}
	}
	switch judge(job, newer) {
	case cancel:
		ctx, done := context.WithTimeout(ctx, callTimeout)
		defer done()
		return w.stop(ctx, job)
	case conclude:
		return w.conclude(ctx, job, id, base)
	case dismount:
		return w.dismount(ctx, job, id, base)
	default:
		return nil
	}
}

// siblings says whether there is a Job of the same resource for a newer generation,
// and lists those for older ones.
func (w *watch) siblings(id jobspec.Identity) (newer bool, older []*batchv1.Job, err error) {
	all, err := w.informer.GetIndexer().ByIndex(byResource, resourceKey(id))
	if err != nil {
		return false, nil, fmt.Errorf("look for other jobs: %w", err)
	}
	for _, o := range all {
		job, ok := o.(*batchv1.Job)
		if !ok {
			continue
		}
		other, _, err := jobspec.Owned(job)
		switch {
		case err != nil:
		case other.Generation > id.Generation:
			newer = true
		case other.Generation < id.Generation:
			older = append(older, job)
		}
	}
	return newer, older, nil
}

// conclude reports how the Job ended and lets it go.
func (w *watch) conclude(ctx context.Context, job *batchv1.Job, id jobspec.Identity, base int) error {
	pods, err := w.pods(ctx, job)
	if err != nil {
		return err
	}
	return w.release(ctx, job, endOf(job, id, base, pods))
}

// dismount sees to it that a Job which was deleted has no pods, reports that it
// is lost, and lets it go.
func (w *watch) dismount(ctx context.Context, job *batchv1.Job, id jobspec.Identity, base int) error {
	pods, err := w.pods(ctx, job)
	if err != nil {
		return err
	}
	if len(pods) > 0 {
		ctx, done := context.WithTimeout(ctx, callTimeout)
		defer done()
		return w.stop(ctx, job) // this time its pods first
	}
	return w.release(ctx, job, jobspec.End{Name: job.Name, Identity: id, AttemptBase: base, Lost: true})
}

// pods lists the Job's pods.
func (w *watch) pods(ctx context.Context, job *batchv1.Job) ([]corev1.Pod, error) {
	ctx, done := context.WithTimeout(ctx, callTimeout)
	defer done()
	list, err := w.client.CoreV1().Pods(w.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{batchv1.JobNameLabel: job.Name}.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list pods of job %s: %w", job.Name, err)
	}
	return of(job, list.Items), nil
}

// release takes the finalizer off once the end is stored; from then on the Job's
// time-to-live counts.
func (w *watch) release(ctx context.Context, job *batchv1.Job, end jobspec.End) error {
	if err := w.keeper.Ended(ctx, end); err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, callTimeout)
	defer done()
	return gone(w.patch(ctx, job, without(job), jobspec.TTLSeconds(job)))
}
