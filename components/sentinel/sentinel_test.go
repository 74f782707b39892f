package sentinel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func TestMain(m *testing.M) {
	UseLogger(slog.New(slog.DiscardHandler))
	code := kubedev.Run(m.Run)
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const ceiling = 20 * time.Second

// api answers as the API does, without a network: one resource is due per
// region until it is recorded.
type api struct {
	mu       sync.Mutex
	recorded map[string]bool
	queries  []string
	shards   map[string]fleet.NewShard
	coverage []fleet.ShardCoverage
}

// divide is what the API's coverage says from now on.
func (a *api) divide(c ...fleet.ShardCoverage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.coverage = c
}

func newAPI() *api { return &api{recorded: map[string]bool{}, shards: map[string]fleet.NewShard{}} }

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := httptest.NewRecorder()
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/v1/clusters":
		q := r.URL.Query()
		a.queries = append(a.queries, r.URL.Host+" "+q.Get("due")+" "+q.Get("labelSelector")+" "+q.Get("backoffNotReady")+" "+q.Get("view"))
		id := map[string]string{"region=us-east": "01900000-0000-7000-8000-000000000001", "region=eu-west": "01900000-0000-7000-8000-000000000002"}[q.Get("labelSelector")]
		w.Header().Set("Content-Type", "application/json")
		list := fleet.DueList{Kind: "DueList", AsOf: fleet.At(time.Now()), Items: []fleet.DueItem{}}
		if q.Get("due") == "woken" && id != "" && !a.recorded[id] {
			list.Items = append(list.Items, fleet.DueItem{ID: id, Generation: 1, Phase: fleet.Pending, Reason: fleet.GenerationChanged, Token: id})
		}
		if err := json.NewEncoder(w).Encode(list); err != nil {
			return nil, err
		}
	case r.Method == http.MethodPost && r.URL.Path == "/v1/clusters/published":
		var p fleet.Published
		_ = json.NewDecoder(r.Body).Decode(&p)
		for _, token := range p.Tokens {
			a.recorded[token] = true
		}
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v1/shards/"):
		var in fleet.NewShard
		_ = json.NewDecoder(r.Body).Decode(&in)
		a.shards[r.URL.Path[len("/v1/shards/"):]] = in
		_, _ = w.WriteString("{}")
	case r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/v1/shards/"):
		name := r.URL.Path[len("/v1/shards/"):]
		if a.shards[name].Holder == r.URL.Query().Get("holder") {
			delete(a.shards, name)
		}
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/shards/coverage":
		err := json.NewEncoder(w).Encode(fleet.Coverage{Kind: "Coverage", ResourceType: fleet.Clusters, Shards: a.coverage, AsOf: fleet.At(time.Now())})
		if err != nil {
			return nil, err
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

// held returns the registered shards.
func (a *api) held() map[string]fleet.NewShard {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.shards)
}

func deps(b *stub.Broker, rt http.RoundTripper) Deps {
	return Deps{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Health: service.NewHealth(), Transport: rt,
		Publisher: func(_ context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error) {
			return b.Publisher(c.Spec.Broker.Topic), nil
		}}
}

func regions(t *testing.T) Config {
	c := DefaultConfig()
	c.APIURL = "http://api.test:8080"
	c.Broker = &v1alpha1.PublisherBroker{Type: broker.TypeStub}
	c.ConfigFile = file(t, `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: us-east}
spec: {resourceType: clusters, shardSelector: {matchLabels: {region: us-east}}, pollInterval: 50ms}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: eu-west}
spec: {resourceType: clusters, shardSelector: {matchLabels: {region: eu-west}}, pollInterval: 50ms, backoffNotReady: 15s}
`)
	return c
}

func TestEachShardPublishesItsOwnResourcesAndNoOther(t *testing.T) {
	t.Setenv("POD_NAME", "pod-7")
	var (
		b  = stub.New()
		a  = newAPI()
		d  = deps(b, a)
		in = b.Subscriber("hyperfleet.clusters.changed.v1", "sub", broker.Limits{})
	)
	s, err := New(regions(t), d)
	if err != nil {
		t.Fatal(err)
	}
	admin := service.AdminHandler(d.Health, d.Registry.(*prometheus.Registry))
	if text := get(admin, "/readyz?verbose"); !strings.Contains(text, "[-] shard us-east: the shard has not started yet") {
		t.Errorf("before the start: %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, received := make(chan error, 2), make(chan string, 100)
	go func() { ended <- s.Run(ctx) }()
	go func() {
		ended <- in.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
			e, err := reconcile.Decode(d.Event)
			received <- e.ResourceID[35:] + " " + d.Event.Source() + " " + string(e.Reason)
			if err != nil {
				return broker.Reject(err.Error())
			}
			return broker.Ack()
		})
	}()
	got := map[string]bool{}
	for range 2 {
		select {
		case e := <-received:
			got[e] = true
		case <-time.After(ceiling):
			t.Fatalf("received only %v", got)
		}
	}
	if !got["1 sentinel-operator/us-east generation-changed"] || !got["2 sentinel-operator/eu-west generation-changed"] {
		t.Errorf("received %v", got)
	}
	var metrics string
	for deadline := time.Now().Add(ceiling); ; time.Sleep(10 * time.Millisecond) {
		metrics = get(admin, "/metrics")
		if strings.Count(metrics, `hyperfleet_sentinel_unrecorded_publications{resource_type="clusters",shard="us-east"} 0`) == 1 && a.done() && len(a.held()) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was recorded")
		}
	}
	for _, want := range []string{
		`hyperfleet_sentinel_events_created_total{resource_type="clusters",shard="us-east"} 1`,
		`hyperfleet_sentinel_events_created_total{resource_type="clusters",shard="eu-west"} 1`,
		`hyperfleet_sentinel_publish_errors_total{resource_type="clusters",shard="eu-west"} 0`,
		`hyperfleet_sentinel_resources_pending{resource_type="clusters",shard="us-east"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	if text := get(admin, "/readyz?verbose"); !strings.Contains(text, "[+] shard us-east: ok\n") || !strings.Contains(text, "[+] shard eu-west: ok\n") {
		t.Errorf("while running: %s", text)
	}
	held := a.held()
	if us, eu := held["us-east"], held["eu-west"]; len(held) != 2 || us.Selector != "region=us-east" || eu.BackoffNotReady != "15s" || us.Holder != eu.Holder ||
		!strings.HasPrefix(us.Holder, "pod-7-") || len(us.Holder) != len("pod-7-")+8 {
		t.Errorf("registered %+v", held)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
	if held := a.held(); len(held) != 0 {
		t.Errorf("registered after the stop: %+v", held)
	}
	seen := map[string]bool{}
	for _, q := range a.queries {
		seen[q] = true
	}
	for _, want := range []string{"api.test:8080 woken region=us-east 10s brief", "api.test:8080 expired region=eu-west 15s brief"} {
		if !seen[want] {
			t.Errorf("the API was not asked %q but %v", want, seen)
		}
	}
	if len(seen) != 4 {
		t.Errorf("the API was asked %v", seen)
	}
}

func (a *api) done() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.recorded) == 2
}

func TestAShardWithoutAPublisherEndsTheSentinelWithTheReason(t *testing.T) {
	d := deps(stub.New(), newAPI())
	publisher := d.Publisher
	d.Publisher = func(ctx context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error) {
		if c.Name == "eu-west" {
			return nil, errors.New("no such broker")
		}
		return publisher(ctx, c)
	}
	s, err := New(regions(t), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "shard eu-west: make the publisher: no such broker") {
		t.Fatalf("Run gave %v", err)
	}
}

func TestNewRefusesWhatValidateRefuses(t *testing.T) {
	if _, err := New(DefaultConfig(), deps(stub.New(), nil)); err == nil {
		t.Fatal("no error")
	}
}

func get(h http.Handler, path string) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Body.String()
}

func TestTheTokenOfTheFileIsSent(t *testing.T) {
	cfg := regions(t)
	cfg.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(cfg.TokenFile, []byte("t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := make(chan string, 1)
	s, err := New(cfg, deps(stub.New(), roundTrip(func(r *http.Request) (*http.Response, error) {
		select {
		case sent <- r.Header.Get("Authorization"):
		default:
		}
		return nil, errors.New("connection refused")
	})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if got := <-sent; got != "Bearer t0ken" {
		t.Errorf("sent %q", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
