package kube

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// Ensure makes the Job and its input exist and says whether this call created
// the Job. A Job that exists is never changed, but for a finalizer that it lacks:
// so its end, if it has ended, is delivered again.
func (r *Runner) Ensure(ctx context.Context, j jobspec.Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	wanted, input, err := jobspec.Manifests(j)
	if err != nil {
		return false, err
	}
	there, err := r.client.BatchV1().Jobs(r.namespace).Create(ctx, wanted, metav1.CreateOptions{})
	created := err == nil
	if apierrors.IsAlreadyExists(err) {
		there, err = r.existing(ctx, j)
	}
	if err != nil {
		return false, told("create job", err)
	}
	if _, over := finished(there); over {
		return created, nil // nobody reads its input any more
	}
	// Whatever is in the way here must pass: the Job is there, so no other attempt
	// may follow. It waits for its input, and the event for another try.
	if err := r.ensureInput(ctx, there, input); err != nil {
		return created, fmt.Errorf("create the job's input: %w", err)
	}
	return created, nil
}

// existing returns the Job that has the name of j, if it is j.
func (r *Runner) existing(ctx context.Context, j jobspec.Job) (*batchv1.Job, error) {
	jobs := r.client.BatchV1().Jobs(r.namespace)
	there, err := jobs.Get(ctx, j.Name, metav1.GetOptions{})
	if err != nil {
		return nil, lost(j.Name, err)
	}
	id, _, err := jobspec.Owned(there)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: job %w", jobspec.ErrForeign, err)
	case id != j.Identity:
		return nil, fmt.Errorf("%w: job %s belongs to %+v", jobspec.ErrForeign, j.Name, id)
	case there.DeletionTimestamp != nil:
		return nil, fmt.Errorf("%w: %s", jobspec.ErrLeaving, j.Name)
	case slices.Contains(there.Finalizers, jobspec.Finalizer):
		return there, nil
	}
	return there, lost(j.Name, r.patch(ctx, there, append(slices.Clone(there.Finalizers), jobspec.Finalizer), nil))
}

// ensureInput makes the Secret of the Job exist, owned by it, so that it goes when
// the Job does.
func (r *Runner) ensureInput(ctx context.Context, job *batchv1.Job, input *corev1.Secret) error {
	owner := metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, Controller: new(true)}
	input.OwnerReferences = []metav1.OwnerReference{owner}
	secrets := r.client.CoreV1().Secrets(r.namespace)
	_, err := secrets.Create(ctx, input, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	there, err := secrets.Get(ctx, input.Name, metav1.GetOptions{})
	if err != nil {
		return lost(input.Name, err)
	}
	ours, _, err := jobspec.Owned(there)
	switch by := metav1.GetControllerOf(there); {
	case err != nil:
		return fmt.Errorf("%w: secret %w", jobspec.ErrForeign, err)
	case by != nil && by.UID == job.UID:
		return nil
	case by != nil: // of an earlier Job of the name: it goes with that
		return fmt.Errorf("%w: its input %s", jobspec.ErrLeaving, input.Name)
	}
	wanted, _, err := jobspec.Owned(job)
	if err != nil || ours != wanted {
		return fmt.Errorf("%w: secret %s belongs to %+v", jobspec.ErrForeign, input.Name, ours)
	}
	there.OwnerReferences = append(there.OwnerReferences, owner)
	_, err = secrets.Update(ctx, there, metav1.UpdateOptions{})
	return lost(input.Name, err)
}

// lost says of what was there a moment ago, and is no more, that it is leaving.
func lost(name string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %s", jobspec.ErrLeaving, name)
	}
	return err
}
