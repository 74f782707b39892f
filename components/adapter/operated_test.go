package adapter_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter"
	"github.com/hyperfleet/hyperfleet/libs/apis/crds"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

const operatedConfig = `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: validation-adapter}
spec:
  adapterType: validation
  criteria: {preconditions: [{expression: "cluster.status.phase != 'Ready'"}]}
  hyperfleetAPI: {url: "http://hyperfleet-api:8080"}
  broker: {type: stub}
  retry: {limit: 1, backoff: 1s}
  jobTemplate: {image: "validation-job:v1", backoffLimit: 0}
`

// world is a namespace with the AdapterConfig's kind, and an API and a broker of its own.
type world struct {
	*kubedev.Cluster
	api    *fakeAPI
	events *stub.Broker
	as     string // the account of the adapter; "" = the administrator

	published, acked atomic.Int64
}

// counting counts what is acknowledged.
type counting struct {
	broker.Subscriber
	acked *atomic.Int64
}

func (c counting) Receive(ctx context.Context, h broker.Handler) error {
	return c.Subscriber.Receive(ctx, func(ctx context.Context, d broker.Delivery) broker.Outcome {
		out := h(ctx, d)
		if out.Kind == broker.Acked {
			c.acked.Add(1)
		}
		return out
	})
}

// Check makes it one whose connection can be asked for.
func (counting) Check(context.Context) error { return nil }

func begin(t *testing.T, required ...string) *world {
	t.Helper()
	return beginOn(t, kubedev.Start(t, kubedev.Options{}), required...)
}

func beginOn(t *testing.T, cluster *kubedev.Cluster, required ...string) *world {
	t.Helper()
	w := &world{Cluster: cluster, api: newFakeAPI(required...), events: stub.New()}
	kind, err := crds.Files.ReadFile("hyperfleet.redhat.com_adapterconfigs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.Apply(t, kind)
	return w
}

// replica runs an operator of validation-adapter until stop is called, or the test ends.
func (w *world) replica(t *testing.T) (stop func()) {
	t.Helper()
	cfg, cluster := adapter.DefaultConfig(), w.Config()
	cfg.Name, cfg.Namespace = "validation-adapter", w.Namespace
	if w.as != "" {
		cluster = w.As(t, w.as)
	}
	o, err := adapter.NewOperator(cfg, cluster, adapter.Deps{
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registry: prometheus.NewRegistry(), Transport: w.api,
		Subscriber: func(_ context.Context, s adapter.SubscriptionSpec) (broker.Subscriber, error) {
			return counting{w.events.Subscriber(s.Topic, s.Subscription, s.Limits), &w.acked}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := o.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func (w *world) publish(t *testing.T, id string) {
	t.Helper()
	e, err := reconcile.Event("sentinel-operator/test", fleet.ReconcileEvent{ResourceType: fleet.Clusters, ResourceID: id,
		Reason: fleet.BackoffExpired, Generation: 1}, fleet.At(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.events.Publisher("hyperfleet.clusters.changed.v1").Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	w.published.Add(1)
}

// until publishes the cluster's events as a sentinel does, until it has the phase.
func (w *world) until(t *testing.T, id string, phase fleet.Phase) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		r, err := w.api.Get(t.Context(), fleet.Clusters, id)
		if err != nil {
			t.Fatal(err)
		}
		if r.Status.Phase == phase {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is %s: %v", r.Status.Phase, w.api.historyOf(id))
		}
		w.publish(t, id)
		w.api.changed(t.Context(), 200*time.Millisecond)
	}
}

// conditions waits for what the AdapterConfig says of itself.
func (w *world) conditions(t *testing.T, want ...string) {
	t.Helper()
	for _, c := range want {
		w.Kubectl(t, "wait", "adapterconfig/validation-adapter", "--timeout=50s", "--for=condition="+c)
	}
}

func TestAnAdapterConfigIsFollowedAndTheLastGoodOneGoesOn(t *testing.T) {
	w := begin(t, "validation")
	images := make(chan string, 10)
	w.RunPods(t, func(_ context.Context, p *corev1.Pod) kubedev.Outcome {
		images <- p.Spec.Containers[0].Image
		return kubedev.Outcome{Message: `{"message":"valid","data":{"policies":4}}`}
	})
	w.replica(t) // before there is a config
	w.Apply(t, []byte(operatedConfig))
	w.conditions(t, "Ready", "BrokerConnected", "APIReachable", "PreconditionsValid")
	w.api.create(clusterID(1))
	w.until(t, clusterID(1), fleet.Ready)
	if got := <-images; got != "validation-job:v1" {
		t.Errorf("the job ran %s", got)
	}
	if r, _ := w.api.Get(t.Context(), fleet.Clusters, clusterID(1)); r.Status.Adapters[0].Message != "valid" || string(r.Status.Adapters[0].Data) != `{"policies":4}` {
		t.Errorf("the report is %+v", r.Status.Adapters[0])
	}

	w.Apply(t, []byte(strings.Replace(operatedConfig, "cluster.status.phase !=", "cluster.status.phase !", 1)))
	w.conditions(t, "Ready=False", "PreconditionsValid=False")
	said := w.Kubectl(t, "get", "adapterconfig", "validation-adapter", "-o", `jsonpath={.status.conditions[?(@.type=="PreconditionsValid")].message}`)
	if !strings.Contains(said, "spec.criteria.preconditions[0].expression") || !strings.Contains(said, "line 1, column 22") {
		t.Errorf("of bad CEL it says %q", said)
	}
	w.api.create(clusterID(2))
	w.until(t, clusterID(2), fleet.Ready)
	if got := <-images; got != "validation-job:v1" {
		t.Errorf("with a bad config the job ran %s", got)
	}

	w.Apply(t, []byte(strings.Replace(operatedConfig, "validation-job:v1", "validation-job:v2", 1)))
	w.conditions(t, "Ready", "PreconditionsValid")
	w.api.create(clusterID(3))
	w.until(t, clusterID(3), fleet.Ready)
	if got := <-images; got != "validation-job:v2" {
		t.Errorf("with a new config the job ran %s", got)
	}
	before := w.Kubectl(t, "get", "adapterconfig", "validation-adapter", "-o", "jsonpath={.metadata.resourceVersion}")
	w.api.create(clusterID(4))
	w.until(t, clusterID(4), fleet.Ready)
	if after := w.Kubectl(t, "get", "adapterconfig", "validation-adapter", "-o", "jsonpath={.metadata.resourceVersion}"); after != before {
		t.Errorf("the status was written although nothing changed: %s, then %s", before, after)
	}
}

func TestAFailingJobEndsAsFailedWithItsMessageAfterTheRetries(t *testing.T) {
	w := begin(t, "validation")
	w.RunPods(t, func(context.Context, *corev1.Pod) kubedev.Outcome {
		return kubedev.Outcome{ExitCode: 1, Message: `{"message":"no such region"}`}
	})
	w.Apply(t, []byte(operatedConfig))
	w.replica(t)
	w.conditions(t, "Ready")
	w.api.create(clusterID(1))
	w.until(t, clusterID(1), fleet.Failed)
	r, err := w.api.Get(t.Context(), fleet.Clusters, clusterID(1))
	if own := r.Status.Adapters[0]; err != nil || own.Message != "no such region" || own.Attempt != 2 {
		t.Errorf("the report is %+v, %v", own, err)
	}
	jobs := w.Kubectl(t, "get", "jobs", "-o", "name")
	want := fmt.Sprintf("job.batch/validation-adapter-%[1]s-g1\njob.batch/validation-adapter-%[1]s-g1-r2\n", strings.ReplaceAll(clusterID(1), "-", ""))
	if jobs != want {
		t.Errorf("jobs\n%swant\n%s", jobs, want)
	}
}
