package kube

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// verdict is what has to be done about a Job.
type verdict int

const (
	leave    verdict = iota // nothing: it runs, is leaving, or its end is stored
	cancel                  // stop it: there is a Job of a newer generation
	conclude                // report its end, then let it go
	dismount                // it was deleted before it ended: see to its pods, then let it go
)

// judge says what has to be done about a Job of ours; newer: there is one of the
// same resource for a newer generation.
func judge(job *batchv1.Job, newer bool) verdict {
	_, over := finished(job)
	switch {
	case !slices.Contains(job.Finalizers, jobspec.Finalizer), !over && leaving(job):
		return leave
	case over:
		return conclude
	case job.DeletionTimestamp != nil:
		return dismount
	case newer:
		return cancel
	default:
		return leave
	}
}

// finished returns the condition with which a Job ended, if it has.
func finished(job *batchv1.Job) (batchv1.JobCondition, bool) {
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c, true
		}
	}
	return batchv1.JobCondition{}, false
}

// leaving says that Kubernetes is removing the Job's pods, before the Job.
func leaving(job *batchv1.Job) bool {
	return job.DeletionTimestamp != nil && slices.Contains(job.Finalizers, metav1.FinalizerDeleteDependents)
}

// without returns the Job's finalizers but for ours.
func without(job *batchv1.Job) []string {
	return slices.DeleteFunc(slices.Clone(job.Finalizers), func(f string) bool { return f == jobspec.Finalizer })
}
