package kube_test

import (
	"context"
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

func TestAJobRunsAndItsEndIsDelivered(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.Kubectl(t, "label", "namespace", w.Namespace, "pod-security.kubernetes.io/enforce=restricted")
	w.RunPods(t, says(0, `{"message":"records made","data":{"zone":"a"}}`))
	r, _ := w.replica(t, "one")
	j := w.job(t, 1, first())
	if !ensure(t, r, j) {
		t.Error("Ensure says that the job was there before")
	}
	e := w.end(t, 1)
	if !e.Succeeded || e.Lost || e.Message != "records made" || string(e.Data) != `{"zone":"a"}` || e.Identity != j.Identity || e.Name != j.Name {
		t.Errorf("end %+v", e)
	}
	if e.Ended.Before(e.Started) || time.Since(e.Started) > soon {
		t.Errorf("from %s to %s", e.Started, e.Ended)
	}
	job := w.until(t, j.Name, released)
	if job.Spec.TTLSecondsAfterFinished == nil || *job.Spec.TTLSecondsAfterFinished != 3600 {
		t.Errorf("its time-to-live is %v", job.Spec.TTLSecondsAfterFinished)
	}
	if ensure(t, r, j) {
		t.Error("Ensure made an ended job again")
	}
	if again := w.end(t, 2); again.Message != e.Message || string(again.Data) != string(e.Data) {
		t.Errorf("delivered again: %+v", again)
	}
}

func TestAFailureIsToldAsThePodToldIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		run      func(context.Context, *corev1.Pod) kubedev.Outcome
		deadline int64
		message  string
	}{
		"its message":                      {says(1, `{"message":"no such zone","data":{"a":1}}`), 600, "no such zone"},
		"any text":                         {says(1, "panic: oh no"), 600, "panic: oh no"},
		"the reason where it says nothing": {says(1, ""), 600, "Error"},
		"that the deadline passed":         {lasts, 1, "Job was active longer than specified deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			w.RunPods(t, tc.run)
			r, _ := w.replica(t, "one")
			j := w.job(t, 1, first())
			j.Template.ActiveDeadlineSeconds = &tc.deadline
			ensure(t, r, j)
			if e := w.end(t, 1); e.Succeeded || e.Message != tc.message || e.Data != nil {
				t.Errorf("end %+v, want %q", e, tc.message)
			}
			w.until(t, j.Name, released)
		})
	}
}

func TestAnEndIsKeptWhileNobodyTakesIt(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.RunPods(t, says(0, `{"message":"done","data":{"n":7}}`))
	r, stop := w.replica(t, "one")
	refused := make(chan struct{}, 100)
	w.take = func(jobspec.End) error { refused <- struct{}{}; return errors.New("the API is away") }
	j := w.job(t, 1, first())
	j.TTL = 0
	ensure(t, r, j)
	<-refused
	<-refused
	stop()
	w.until(t, j.Name, ended)
	w.take = nil
	w.replica(t, "two")
	if e := w.end(t, 1); !e.Succeeded || string(e.Data) != `{"n":7}` {
		t.Errorf("end %+v", e)
	}
	w.until(t, j.Name, gone) // its time-to-live had passed long ago
}

func TestAJobOutlivesItsDeletionUntilItsEndIsTaken(t *testing.T) {
	t.Parallel()
	for _, cascade := range []string{"background", "orphan"} {
		t.Run(cascade, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			w.RunPods(t, says(0, `{"message":"done"}`))
			r, stop := w.replica(t, "one")
			w.take = func(jobspec.End) error { return errors.New("the API is away") }
			j := w.job(t, 1, first())
			ensure(t, r, j)
			w.until(t, j.Name, ended)
			stop()
			w.Kubectl(t, "delete", "job", j.Name, "--wait=false", "--cascade="+cascade)
			w.take = nil
			w.replica(t, "two")
			if e := w.end(t, 1); e.Lost {
				t.Errorf("end %+v", e)
			} else if e.Succeeded == (cascade == "orphan") || e.Mute == e.Succeeded {
				t.Errorf("end %+v: what is known of it must be told, and what is not must not", e)
			}
			w.until(t, j.Name, gone)
		})
	}
}

func TestAJobDeletedWhileItRunsIsLostAndCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	for _, cascade := range []string{"background", "foreground"} {
		t.Run(cascade, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			running := make(chan string, 10)
			w.RunPods(t, func(ctx context.Context, p *corev1.Pod) kubedev.Outcome {
				running <- string(p.UID)
				return lasts(ctx, p)
			})
			w.take = func(jobspec.End) error { // nobody hears of it while it has a pod
				pods, err := w.client.CoreV1().Pods(w.Namespace).List(t.Context(), metav1.ListOptions{})
				if err == nil && len(pods.Items) > 0 {
					t.Errorf("%d pods are left", len(pods.Items))
				}
				return err
			}
			r, _ := w.replica(t, "one")
			j := w.job(t, 1, first())
			ensure(t, r, j)
			was := <-running
			w.Kubectl(t, "delete", "job", j.Name, "--wait=false", "--cascade="+cascade)
			if e := w.end(t, 1); !e.Lost || e.Identity != j.Identity {
				t.Errorf("end %+v", e)
			}
			w.until(t, j.Name, gone)
			if !ensure(t, r, j) {
				t.Error("the job was there still")
			}
			if now := <-running; now == was {
				t.Error("no new pod runs")
			}
			pods, err := w.client.CoreV1().Pods(w.Namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil || len(pods.Items) != 1 {
				t.Errorf("%d pods, %v; want 1", len(pods.Items), err)
			}
		})
	}
}

func TestOnlyItsOwnJobsAreTouched(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.RunPods(t, says(0, ""))
	j := w.job(t, 1, first())
	strangers, _, err := jobspec.Manifests(j)
	if err != nil {
		t.Fatal(err)
	}
	strangers.Name = "look-alike" // not the name of its identity
	if _, err := w.client.BatchV1().Jobs(w.Namespace).Create(t.Context(), strangers, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := w.until(t, "look-alike", ended)
	r, _ := w.replica(t, "one")
	ensure(t, r, j)
	w.end(t, 1)
	w.until(t, j.Name, released)
	w.until(t, "look-alike", func(now *batchv1.Job) bool { return now.ResourceVersion == before.ResourceVersion })
}
