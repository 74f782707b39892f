package kube

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// sweepEvery is how often Jobs are looked for that nobody wants.
const sweepEvery = 10 * time.Minute

// sweep cancels Jobs whose resource is gone or has a newer generation, at once and
// then now and again, until ctx ends.
func (w *watch) sweep(ctx context.Context) {
	for {
		for _, o := range w.informer.GetStore().List() {
			if job, ok := o.(*batchv1.Job); ok && ctx.Err() == nil {
				if err := w.sweepOne(ctx, job); err != nil && ctx.Err() == nil {
					w.log.Warn("job not swept", "job", job.Name, "err", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
	}
}

func (w *watch) sweepOne(ctx context.Context, job *batchv1.Job) error {
	id, _, err := jobspec.Owned(job)
	if err != nil || judge(job, true) != cancel {
		return nil // not ours, or nothing to sweep
	}
	ctx, done := context.WithTimeout(ctx, callTimeout)
	defer done()
	wanted, err := w.keeper.Wanted(ctx, id)
	if err != nil || wanted {
		return err
	}
	return w.stop(ctx, job)
}
