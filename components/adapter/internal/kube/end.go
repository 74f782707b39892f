package kube

import (
	"cmp"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// endOf is how a finished Job ended, by its condition and by what its pods say.
func endOf(job *batchv1.Job, id jobspec.Identity, base int, pods []corev1.Pod) jobspec.End {
	how, _ := finished(job)
	end := jobspec.End{Name: job.Name, Identity: id, AttemptBase: base, Succeeded: how.Type == batchv1.JobComplete,
		Started: job.CreationTimestamp.Time, Ended: how.LastTransitionTime.Time}
	if job.Status.StartTime != nil {
		end.Started = job.Status.StartTime.Time
	}
	pod := speaker(pods, end.Succeeded)
	switch {
	case pod == nil && end.Succeeded:
		// Those that depend on it would lack its data.
		end.Succeeded, end.Mute, end.Message = false, true, "what the job had to say is lost: its pod was removed before its end was read"
	case pod == nil:
		end.Message = cmp.Or(how.Message, how.Reason)
	default:
		said := lastWords(pod)
		end.Message, end.Data = jobspec.Said([]byte(said))
		if !end.Succeeded {
			end.Data, end.Message = nil, cmp.Or(end.Message, how.Message, how.Reason)
		}
	}
	if !end.Succeeded && how.Reason == batchv1.JobReasonDeadlineExceeded {
		end.Message = how.Message // the pod was stopped: what it says is not why
	}
	return end
}

// speaker is the pod that tells how the Job ended: the newest that ended as the
// Job did.
func speaker(pods []corev1.Pod, succeeded bool) *corev1.Pod {
	phase := corev1.PodFailed
	if succeeded {
		phase = corev1.PodSucceeded
	}
	var newest *corev1.Pod
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == phase && (newest == nil || newest.CreationTimestamp.Before(&p.CreationTimestamp)) {
			newest = p
		}
	}
	return newest
}

// lastWords is what the pod's container wrote to its termination log, or why it
// has none.
func lastWords(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil {
			if t.Message == "" && t.ExitCode != 0 {
				return t.Reason
			}
			return t.Message
		}
	}
	return cmp.Or(pod.Status.Message, pod.Status.Reason) // such as Evicted
}

// of returns those of pods that the Job controls.
func of(job *batchv1.Job, pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !metav1.IsControlledBy(&p, job) })
}
