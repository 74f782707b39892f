package kube

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// Cancel cancels the adapter's Jobs of s for generations before its own, and says
// whether none of them has a pod any more. It asks Kubernetes itself: what this
// replica has seen so far is not enough to start a deletion on.
func (r *Runner) Cancel(ctx context.Context, adapter string, s jobspec.Subject) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := r.client.BatchV1().Jobs(r.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{jobspec.LabelAdapter: adapter, jobspec.LabelClusterID: s.ClusterID()}.String(),
	})
	if err != nil {
		return false, told("list jobs", err)
	}
	stopped := true
	for i := range list.Items {
		job := &list.Items[i]
		id, _, err := jobspec.Owned(job)
		if err != nil || id.ResourceType != s.Type || id.ResourceID != s.Resource.ID || id.Generation >= s.Resource.Generation {
			continue
		}
		if _, over := finished(job); over {
			continue
		}
		stopped = false
		if err := r.stop(ctx, job); err != nil {
			return false, err
		}
	}
	return stopped, nil
}

// stop deletes the Job's pods and then the Job, which is gone when its finalizer is.
func (r *Runner) stop(ctx context.Context, job *batchv1.Job) error {
	if leaving(job) {
		return nil
	}
	err := r.client.BatchV1().Jobs(r.namespace).Delete(ctx, job.Name, metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationForeground), Preconditions: metav1.NewUIDPreconditions(string(job.UID)),
	})
	if err == nil {
		r.log.Info("job cancelled", "job", job.Name, "adapter", job.Labels[jobspec.LabelAdapter], "cluster", job.Labels[jobspec.LabelClusterID])
	}
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or another of the name
		return nil
	}
	return told("delete job", err)
}

// patch sets the finalizers of a Job as it was read, and its time-to-live unless
// that is nil.
func (r *Runner) patch(ctx context.Context, job *batchv1.Job, finalizers []string, ttl *int32) error {
	change := map[string]any{"metadata": map[string]any{"uid": job.UID, "resourceVersion": job.ResourceVersion, "finalizers": finalizers}}
	if ttl != nil {
		change["spec"] = map[string]any{"ttlSecondsAfterFinished": *ttl}
	}
	raw, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode patch of job %s: %w", job.Name, err)
	}
	_, err = r.client.BatchV1().Jobs(r.namespace).Patch(ctx, job.Name, types.MergePatchType, raw, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("patch job %s: %w", job.Name, err)
	}
	return nil
}

// gone takes the absence of what was to be changed for success.
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
