package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/kube"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

func TestMain(m *testing.M) {
	code := kubedev.Run(m.Run) // and with the server its connections end
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// soon bounds every wait for something that Kubernetes does.
const soon = time.Minute

const resource = "0190b6a0-1234-7000-8000-0000000000aa"

// world is a namespace and the ends that were delivered from it.
type world struct {
	*kubedev.Cluster
	client *kubernetes.Clientset

	mu       sync.Mutex
	changed  chan struct{}
	ends     []jobspec.End
	take     func(jobspec.End) error // nil: takes all
	unwanted []jobspec.Identity
}

func begin(t *testing.T) *world {
	t.Helper()
	c := kubedev.Start(t, kubedev.Options{})
	w := &world{Cluster: c, client: clientOf(t, c.Config()), changed: make(chan struct{})}
	return w
}

func clientOf(t *testing.T, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (w *world) Ended(_ context.Context, e jobspec.End) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.take != nil {
		if err := w.take(e); err != nil {
			return err
		}
	}
	w.ends = append(w.ends, e)
	close(w.changed)
	w.changed = make(chan struct{})
	return nil
}

func (w *world) Wanted(_ context.Context, id jobspec.Identity) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.Contains(w.unwanted, id), nil
}

// replica runs a runner until stop is called, or the test ends.
func (w *world) replica(t *testing.T, name string) (r *kube.Runner, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	leader := kube.NewLeader(w.client, w.Namespace, "dns-adapter", name, log)
	r = kube.New(w.client, w.Namespace, leader, log)
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{leader.Run, func(ctx context.Context) error { return r.Run(ctx, "dns", w) }} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); parts.Wait() })
	t.Cleanup(stop)
	return r, stop
}

// job is an attempt of adapter dns in the world's namespace.
func (w *world) job(t *testing.T, generation int64, a jobspec.Attempt) jobspec.Job {
	t.Helper()
	cfg := v1alpha1.AdapterConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "dns-adapter", Namespace: w.Namespace},
		Spec: v1alpha1.AdapterConfigSpec{
			AdapterType:   "dns",
			HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://hyperfleet-api:8080"},
			JobTemplate:   v1alpha1.JobTemplate{Image: "dns-job", BackoffLimit: new(int32(0)), TTLSecondsAfterFinished: new(int32(3600))},
		},
	}
	cfg.Spec.Deletion = &v1alpha1.Deletion{JobTemplate: cfg.Spec.JobTemplate}
	j, err := jobspec.New(cfg.Defaults(), jobspec.Subject{Type: fleet.Clusters, Resource: fleet.Resource{ID: resource, Generation: generation}}, a)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func first() jobspec.Attempt { return jobspec.Attempt{Number: 1, Mode: jobspec.ModeCreate} }

func ensure(t *testing.T, r *kube.Runner, j jobspec.Job) bool {
	t.Helper()
	created, err := r.Ensure(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// end waits for the n-th end.
func (w *world) end(t *testing.T, n int) jobspec.End {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for {
		w.mu.Lock()
		ends, changed := slices.Clone(w.ends), w.changed
		w.mu.Unlock()
		if len(ends) >= n {
			return ends[n-1]
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d ends were delivered, want %d", len(ends), n)
		}
	}
}

// until waits until the Job is as ok says; nil stands for one that is gone.
func (w *world) until(t *testing.T, name string, ok func(*batchv1.Job) bool) *batchv1.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	jobs := w.client.BatchV1().Jobs(w.Namespace)
	for {
		watch, err := jobs.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			t.Fatal(err)
		}
		job, err := jobs.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			job, err = nil, nil
		}
		if err == nil && ok(job) {
			watch.Stop()
			return job
		}
		if err != nil {
			t.Fatalf("wait for job %s: %v", name, err)
		}
		<-watch.ResultChan()
		watch.Stop()
		if ctx.Err() != nil {
			raw, _ := json.MarshalIndent(job, "", " ")
			t.Fatalf("job %s stays %s", name, raw)
		}
	}
}

func gone(j *batchv1.Job) bool { return j == nil }

func released(j *batchv1.Job) bool {
	return j != nil && !slices.Contains(j.Finalizers, jobspec.Finalizer)
}

func ended(j *batchv1.Job) bool {
	return j != nil && slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}

// says makes every pod end at once in the given way.
func says(exit int32, message string) func(context.Context, *corev1.Pod) kubedev.Outcome {
	return func(context.Context, *corev1.Pod) kubedev.Outcome {
		return kubedev.Outcome{ExitCode: exit, Message: message}
	}
}

// lasts makes every pod run until it is deleted.
func lasts(ctx context.Context, _ *corev1.Pod) kubedev.Outcome {
	<-ctx.Done()
	return kubedev.Outcome{}
}
