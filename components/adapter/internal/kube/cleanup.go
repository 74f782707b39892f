package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// pageSize is how many Jobs are listed at once.
const pageSize = 500

// Cleanup takes the finalizer off every Job of ours in the namespace, those of
// one adapter or ("") of all, so that they can be deleted although no adapter
// runs any more. It returns from how many.
func Cleanup(ctx context.Context, client kubernetes.Interface, namespace, adapter string) (int, error) {
	r := &Runner{client: client, namespace: namespace}
	options := metav1.ListOptions{LabelSelector: jobspec.LabelAdapter, Limit: pageSize}
	if adapter != "" {
		options.LabelSelector = labels.Set{jobspec.LabelAdapter: adapter}.String()
	}
	done := 0
	var problems []error
	for {
		list, err := client.BatchV1().Jobs(namespace).List(ctx, options)
		if err != nil {
			return done, errors.Join(append(problems, fmt.Errorf("list jobs: %w", err))...)
		}
		for i := range list.Items {
			job := &list.Items[i]
			if _, _, err := jobspec.Owned(job); err != nil || !slices.Contains(job.Finalizers, jobspec.Finalizer) {
				continue
			}
			took, err := r.letGo(ctx, job)
			if err != nil {
				problems = append(problems, err)
			}
			if took {
				done++
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return done, errors.Join(problems...)
		}
	}
}

// letGo takes the finalizer off a Job, whoever changes it at the same time.
func (r *Runner) letGo(ctx context.Context, job *batchv1.Job) (took bool, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		err := r.patch(ctx, job, without(job), nil)
		if apierrors.IsConflict(err) {
			if fresh, getErr := r.client.BatchV1().Jobs(r.namespace).Get(ctx, job.Name, metav1.GetOptions{}); getErr == nil {
				job = fresh
			}
		}
		took = err == nil
		return gone(err)
	})
	return took, err
}
