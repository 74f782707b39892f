package kube_test

import (
	"context"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/kube"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

func subject(id string, generation int64) jobspec.Subject {
	return jobspec.Subject{Type: fleet.Clusters, Resource: fleet.Resource{ID: id, Generation: generation}}
}

func cancel(t *testing.T, r *kube.Runner, adapter, id string, generation int64) bool {
	t.Helper()
	stopped, err := r.Cancel(t.Context(), adapter, subject(id, generation))
	if err != nil {
		t.Fatal(err)
	}
	return stopped
}

func TestCancelStopsTheOlderJobsOfOneResource(t *testing.T) {
	t.Parallel()
	w := begin(t)
	running := make(chan struct{}, 10)
	w.RunPods(t, func(ctx context.Context, p *corev1.Pod) kubedev.Outcome {
		running <- struct{}{}
		return lasts(ctx, p)
	})
	r, stop := w.replica(t, "one")
	j := w.job(t, 2, first())
	ensure(t, r, j)
	<-running
	for name, stopped := range map[string]bool{
		"its own generation": cancel(t, r, "dns", resource, 2),
		"another resource":   cancel(t, r, "dns", "0190b6a0-1234-7000-8000-0000000000ff", 3),
		"another adapter":    cancel(t, r, "placement", resource, 3),
	} {
		if !stopped {
			t.Errorf("%s keeps a job waiting", name)
		}
	}
	w.until(t, j.Name, func(j *batchv1.Job) bool { return j.DeletionTimestamp == nil })
	stop() // nobody leads: the job stays until somebody knows that its pods are gone
	if cancel(t, r, "dns", resource, 3) {
		t.Error("a job that runs counts as stopped")
	}
	w.until(t, j.Name, func(j *batchv1.Job) bool { return j.DeletionTimestamp != nil && len(j.Finalizers) == 1 })
	if cancel(t, r, "dns", resource, 3) {
		t.Error("a job that is there counts as stopped")
	}
	r, _ = w.replica(t, "two")
	w.until(t, j.Name, gone)
	if !cancel(t, r, "dns", resource, 3) {
		t.Error("a job that is gone keeps a deletion waiting")
	}
	pods, err := w.client.CoreV1().Pods(w.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods are left, %v", len(pods.Items), err)
	}
}

func TestANewerGenerationCancelsOlderJobsHoweverLateTheyAppear(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.RunPods(t, lasts)
	r, _ := w.replica(t, "one")
	older, newer, late := w.job(t, 1, first()), w.job(t, 3, first()), w.job(t, 2, first())
	ensure(t, r, older)
	ensure(t, r, newer)
	w.until(t, older.Name, gone)
	ensure(t, r, late)
	w.until(t, late.Name, gone)
	w.until(t, newer.Name, func(j *batchv1.Job) bool { return j != nil && j.DeletionTimestamp == nil })
}

func TestJobsThatNobodyWantsAreSweptAway(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.RunPods(t, lasts)
	orphan, wanted := w.job(t, 1, first()), w.job(t, 1, jobspec.Attempt{Number: 2, Mode: jobspec.ModeCreate})
	maker := kube.New(w.client, w.Namespace, nil, nil)
	ensure(t, maker, orphan)
	ensure(t, maker, wanted)
	w.unwanted = []jobspec.Identity{orphan.Identity}
	w.replica(t, "one")
	w.until(t, orphan.Name, gone)
	if e := w.end(t, 1); !e.Lost || e.Identity != orphan.Identity {
		t.Errorf("end %+v", e)
	}
	w.until(t, wanted.Name, func(j *batchv1.Job) bool { return j != nil && j.DeletionTimestamp == nil })
}

func TestCleanupLetsOwnJobsGoAndNoOthers(t *testing.T) {
	t.Parallel()
	w := begin(t)
	r := kube.New(w.client, w.Namespace, nil, nil)
	j := w.job(t, 1, first())
	ensure(t, r, j)
	strangers, _, err := jobspec.Manifests(j)
	if err != nil {
		t.Fatal(err)
	}
	strangers.Name = "look-alike"
	if _, err := w.client.BatchV1().Jobs(w.Namespace).Create(t.Context(), strangers, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		adapter string
		want    int
	}{{"placement", 0}, {"", 1}, {"dns", 0}} {
		if n, err := kube.Cleanup(t.Context(), w.client, w.Namespace, c.adapter); err != nil || n != c.want {
			t.Errorf("cleanup of %q: %d, %v; want %d", c.adapter, n, err, c.want)
		}
	}
	w.until(t, j.Name, released)
	w.until(t, "look-alike", func(j *batchv1.Job) bool { return !released(j) })
}
