package adapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/components/adapter"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func TestMain(m *testing.M) {
	code := kubedev.Run(m.Run) // and with the server its connections end
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const twoAdapters = `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: validation-adapter}
spec:
  adapterType: validation
  criteria: {preconditions: [{expression: "cluster.status.phase != 'Ready'"}]}
  broker: {type: stub, subscription: validation-adapter-sub}
  jobTemplate: {image: validation-job}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: dns-adapter}
spec:
  adapterType: dns
  criteria: {dependencies: [validation]}
  retry: {limit: 1, backoff: 2s}
  broker: {type: stub}
  jobTemplate: {image: dns-job}
`

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "adapters.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTwoAdaptersTakeAClusterToReady(t *testing.T) {
	config, root := file(t, twoAdapters), filepath.Join(t.TempDir(), "jobs")
	synctest.Test(t, func(t *testing.T) {
		var (
			api      = newFakeAPI("validation", "dns")
			events   = stub.New()
			registry = prometheus.NewRegistry()
			health   = service.NewHealth()
			mu       sync.Mutex
			got      []adapter.SubscriptionSpec
			parts    []service.Part
		)
		api.create(clusterID(1))
		runner := adapter.NewDirRunner(root, func(_ context.Context, j adapter.DirJob) (adapter.Result, error) {
			time.Sleep(time.Second)
			if j.Adapter == "dns" && j.Attempt == 1 {
				return adapter.Result{}, errors.New("no zone yet")
			}
			if j.Adapter == "dns" && string(j.Dependencies["validation"]) != `{"policies":4}` {
				t.Errorf("dns was given %s", j.Dependencies)
			}
			return adapter.Result{Message: "done", Data: json.RawMessage(`{"policies":4}`)}, nil
		}, quiet)
		for _, name := range []string{"validation-adapter", "dns-adapter"} {
			cfg := adapter.DefaultConfig()
			cfg.ConfigFile, cfg.Name, cfg.APIURL = config, name, "http://hyperfleet-api:8080"
			a, err := adapter.New(cfg, adapter.Deps{Log: quiet, Registry: registry, Health: health, Transport: api, Runner: runner,
				Subscriber: func(_ context.Context, s adapter.SubscriptionSpec) (broker.Subscriber, error) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, s)
					return events.Subscriber(s.Topic, s.Subscription, s.Limits), nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, service.Part{Name: name, Run: a.Run})
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- service.Run(ctx, parts...) }()
		synctest.Wait()
		publisher := events.Publisher("hyperfleet.clusters.changed.v1")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
			r, _ := api.Get(ctx, fleet.Clusters, clusterID(1))
			if r.Status.Phase == fleet.Ready {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the cluster is %s:\n%s", r.Status.Phase, strings.Join(api.history[clusterID(1)], "\n"))
			}
			e, err := reconcile.Event("sentinel-operator/test", fleet.ReconcileEvent{ResourceType: fleet.Clusters,
				ResourceID: clusterID(1), Reason: fleet.BackoffExpired, Generation: 1}, fleet.At(time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			if err := publisher.Publish(ctx, e); err != nil {
				t.Fatal(err)
			}
		}
		at := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(at); took > 10*time.Second {
			t.Errorf("shutdown took %s", took)
		}
		var order []string // of the two adapters' ends and attempts, without what depends on which event came first
		for _, line := range api.history[clusterID(1)] {
			if !strings.Contains(line, "Pending") {
				order = append(order, line)
			}
		}
		want := []string{"validation Running g1 a1", "validation Complete g1 a1", "dns Running g1 a1", "dns Running g1 a1", "dns Running g1 a2", "dns Complete g1 a2"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP hyperfleet_adapter_jobs_created_total Jobs created; one that existed already does not count.
# TYPE hyperfleet_adapter_jobs_created_total counter
hyperfleet_adapter_jobs_created_total{adapter="dns"} 2
hyperfleet_adapter_jobs_created_total{adapter="validation"} 1
# HELP hyperfleet_adapter_retries_total Attempts started after a failed one.
# TYPE hyperfleet_adapter_retries_total counter
hyperfleet_adapter_retries_total{adapter="dns"} 1
hyperfleet_adapter_retries_total{adapter="validation"} 0
`), "hyperfleet_adapter_jobs_created_total", "hyperfleet_adapter_retries_total"); err != nil {
			t.Error(err)
		}
		subscriptions := map[string]bool{}
		for _, s := range got {
			subscriptions[s.Subscription] = true
		}
		if diff := cmp.Diff(map[string]bool{"validation-adapter-sub": true, "dns-adapter-sub": true}, subscriptions); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
	})
}

func TestNewNamesEveryProblem(t *testing.T) {
	bad := strings.NewReplacer(
		"cluster.status.phase != 'Ready'", "clutser.status.phase !=", "adapterType: validation", "adapterType: validation\n  resourceType: clusters\n  resourceTypes: [clouds]",
		"type: stub,", "type: kafka,", "image: validation-job", "image: ''").Replace(twoAdapters)
	cfg := adapter.Config{ConfigFile: file(t, bad), Name: "validation-adapter"}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	if _, again := adapter.New(cfg, adapter.Deps{}); again == nil || again.Error() != err.Error() {
		t.Errorf("New says %v, not what Validate does", again)
	}
	for _, want := range []string{
		"spec.resourceType: unknown field", "API timeout", "concurrency", "spec.broker.type", "spec.jobTemplate.image", `there is no resource type "clouds"`, "spec.hyperfleetAPI.url",
		"spec.criteria.preconditions[0].expression: ", "line 1, column",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
	cfg.Name, cfg.ConfigFile = "", file(t, twoAdapters)
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), `has the AdapterConfigs ["validation-adapter" "dns-adapter"]`) {
		t.Errorf("error %v", err)
	}
	cfg.Name = "placement-adapter"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), `has no AdapterConfig "placement-adapter"`) {
		t.Errorf("error %v", err)
	}
}

func TestProcessSuppliesAPIAndBroker(t *testing.T) {
	cfg := adapter.DefaultConfig()
	cfg.Adapter = &v1alpha1.AdapterConfig{Spec: v1alpha1.AdapterConfigSpec{AdapterType: "dns", JobTemplate: v1alpha1.JobTemplate{Image: "x"}}}
	cfg.Adapter.Name = "dns-adapter"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "spec.broker: ") || !strings.Contains(err.Error(), "spec.hyperfleetAPI.url: ") {
		t.Errorf("error %v", err)
	}
	cfg.APIURL, cfg.Broker = "http://localhost:8080", &v1alpha1.SubscriberBroker{Type: "stub"}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	if cfg.Adapter.Spec.Broker != nil || cfg.Adapter.Spec.HyperfleetAPI != nil {
		t.Error("the given AdapterConfig was changed")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestReadyWhileTheAPIAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, health := newFakeAPI(), service.NewHealth()
		down, refused := false, false
		cfg := adapter.DefaultConfig()
		cfg.TokenFile = filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(cfg.TokenFile, []byte("t0ken\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.APIURL, cfg.Broker = "http://localhost:8080", &v1alpha1.SubscriberBroker{Type: "stub"}
		cfg.Adapter = &v1alpha1.AdapterConfig{Spec: v1alpha1.AdapterConfigSpec{AdapterType: "dns", JobTemplate: v1alpha1.JobTemplate{Image: "x"}}}
		cfg.Adapter.Name = "dns-adapter"
		_, err := adapter.New(cfg, adapter.Deps{Log: quiet, Registry: prometheus.NewRegistry(), Health: health,
			Runner: adapter.NewDirRunner(t.TempDir(), nil, quiet),
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if down {
					return nil, errors.New("connection refused")
				}
				if refused || r.Header.Get("Authorization") != "Bearer t0ken" {
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
				}
				return api.RoundTrip(r)
			})})
		if err != nil {
			t.Fatal(err)
		}
		ready := func() int {
			w := httptest.NewRecorder()
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil)
			service.AdminHandler(health, prometheus.NewRegistry()).ServeHTTP(w, req)
			return w.Code
		}
		if got := ready(); got != http.StatusOK {
			t.Errorf("ready: %d", got)
		}
		down = true
		if got := ready(); got != http.StatusOK {
			t.Errorf("a moment after an answer: %d", got)
		}
		time.Sleep(time.Minute)
		if got := ready(); got != http.StatusServiceUnavailable {
			t.Errorf("without an answer for a minute: %d", got)
		}
		down, refused = false, true
		if got := ready(); got != http.StatusServiceUnavailable {
			t.Errorf("with a token that the API does not take: %d", got)
		}
	})
}
