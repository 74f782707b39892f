package adapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

// TestManyDeliveriesOverManyReplicasMakeOneJobPerAttempt delivers every
// cluster's event over and over to eight replicas, each with a client of its own.
// Some first attempts fail, so that there are second ones too; pods and Jobs are
// counted by Kubernetes.
func TestManyDeliveriesOverManyReplicasMakeOneJobPerAttempt(t *testing.T) {
	const replicas, clusters = 8, 25
	deliveries := 10_000
	if n, err := strconv.Atoi(os.Getenv("DELIVERIES")); err == nil {
		deliveries = n
	}
	w := begin(t, "validation")
	var mu sync.Mutex
	pods := map[string]int{} // name of the Job -> pods that ran
	w.RunPods(t, func(ctx context.Context, p *corev1.Pod) kubedev.Outcome {
		job := p.Labels["batch.kubernetes.io/job-name"]
		mu.Lock()
		pods[job]++
		mu.Unlock()
		select {
		case <-time.After(rand.N(2 * time.Second)): // so that deliveries meet Jobs in every state
		case <-ctx.Done():
		}
		if strings.HasSuffix(job, "0-g1") { // of every tenth cluster
			return kubedev.Outcome{ExitCode: 1, Message: "not yet"}
		}
		return kubedev.Outcome{Message: `{"message":"valid"}`}
	})
	w.Apply(t, []byte(operatedConfig))
	made := countJobs(t, w)
	for range replicas {
		w.replica(t)
	}
	w.conditions(t, "Ready")
	want := map[string]int{}
	for n := range clusters {
		w.api.create(clusterID(n))
		name := "validation-adapter-" + strings.ReplaceAll(clusterID(n), "-", "") + "-g1"
		want[name] = 1
		if n%10 == 0 {
			want[name+"-r2"] = 1
		}
	}
	for n := range deliveries {
		w.publish(t, clusterID(n%clusters))
	}
	for n := range clusters {
		w.until(t, clusterID(n), fleet.Ready)
	}
	w.settled(t)
	mu.Lock()
	defer mu.Unlock()
	if !maps.Equal(pods, want) {
		t.Errorf("pods ran for %v, want %v", pods, want)
	}
	if got := made(want); !maps.Equal(got, want) {
		t.Errorf("jobs were made %v, want %v", got, want)
	}
}

// settled waits until nothing that was published waits for anybody.
func (w *world) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for w.acked.Load() < w.published.Load() {
		w.api.changed(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d events were acknowledged", w.acked.Load(), w.published.Load())
		}
	}
}

// countJobs counts the Jobs of each name that ever were, as Kubernetes tells it.
// What it returns waits until it has heard of all that are wanted.
func countJobs(t *testing.T, w *world) func(want map[string]int) map[string]int {
	t.Helper()
	client, err := kubernetes.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	made, heard := map[string]map[types.UID]bool{}, make(chan struct{}, 1)
	note := func(o any) {
		job, ok := o.(*batchv1.Job)
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if made[job.Name] == nil {
			made[job.Name] = map[types.UID]bool{}
		}
		made[job.Name][job.UID] = true
		select {
		case heard <- struct{}{}:
		default:
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.BatchV1().RESTClient(), "jobs", w.Namespace, fields.Everything()), ObjectType: &batchv1.Job{},
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, o any) { note(o) }},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { informer.RunWithContext(ctx) })
	t.Cleanup(func() { cancel(); watching.Wait() })
	count := func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		counted := map[string]int{}
		for name, uids := range made {
			counted[name] = len(uids)
		}
		return counted
	}
	return func(want map[string]int) map[string]int {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for len(count()) < len(want) && ctx.Err() == nil {
			select {
			case <-heard:
			case <-ctx.Done():
			}
		}
		return count()
	}
}

// TestWhatIsFinalCostsOneReadAndNoWrite is what most of a fleet's events are.
func TestWhatIsFinalCostsOneReadAndNoWrite(t *testing.T) {
	const events = 100
	w := begin(t, "validation")
	w.RunPods(t, func(context.Context, *corev1.Pod) kubedev.Outcome {
		return kubedev.Outcome{Message: `{"message":"valid"}`}
	})
	w.Apply(t, []byte(operatedConfig))
	w.replica(t)
	w.conditions(t, "Ready")
	w.api.create(clusterID(1))
	w.until(t, clusterID(1), fleet.Ready)
	w.settled(t)
	w.released(t)
	begin, before := time.Now(), w.api.counted()
	for range events {
		w.publish(t, clusterID(1))
	}
	w.settled(t)
	got := w.api.counted()
	// The registration and a look at readiness may fall between.
	if reads := got["GET"] - before["GET"]; reads < events || reads > events+2 {
		t.Errorf("%d events cost %d GETs", events, reads)
	}
	if got["POST"] != before["POST"] {
		t.Errorf("%d events cost %d POSTs", events, got["POST"]-before["POST"])
	}
	for _, line := range auditOf(t, w) {
		var asked struct{ RequestReceivedTimestamp time.Time }
		if err := json.Unmarshal([]byte(line), &asked); err != nil {
			t.Fatal(err)
		}
		if asked.RequestReceivedTimestamp.Before(begin) {
			continue
		}
		if strings.Contains(line, `"resource":"jobs"`) || strings.Contains(line, `"resource":"secrets"`) {
			t.Errorf("they cost a request to Kubernetes: %s", line)
		}
	}
	fmt.Fprintf(t.Output(), "%d events of what is final: %d GETs\n", events, got["GET"]-before["GET"])
}

// released waits until an adapter has let a Job go, whose end is then told.
func (w *world) released(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kubernetes.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := client.BatchV1().Jobs(w.Namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer jobs.Stop()
	for event := range jobs.ResultChan() {
		if job, ok := event.Object.(*batchv1.Job); ok && !slices.Contains(job.Finalizers, jobspec.Finalizer) {
			return
		}
	}
	t.Fatal("the Job is still held after a minute")
}

// auditOf lists what was asked of Kubernetes in the test's namespace by adapters.
func auditOf(t *testing.T, w *world) []string {
	t.Helper()
	text, err := os.ReadFile(w.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"namespace":"`+w.Namespace+`"`) && strings.Contains(line, `"userAgent":"hyperfleet-adapter"`) {
			lines = append(lines, line)
		}
	}
	return lines
}
