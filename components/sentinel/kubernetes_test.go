package sentinel

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hyperfleet/hyperfleet/libs/apis/crds"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

const account = "hyperfleet-sentinel"

// cluster is a Kubernetes with our kinds, and the rights of a sentinel in it.
type cluster struct {
	*kubedev.Cluster
	client kube.Client
}

func kubernetes(t *testing.T) cluster {
	t.Helper()
	c := kubedev.Start(t, kubedev.Options{})
	files, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := crds.Files.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c.Apply(t, raw)
	}
	c.Apply(t, read(t, "rbac/role.yaml"), read(t, "rbac/binding.yaml"))
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client, err := kube.New(c.Config(), kube.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return cluster{c, client}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// get returns a SentinelConfig of the test's namespace.
func (c cluster) get(t *testing.T, name string) v1alpha1.SentinelConfig {
	t.Helper()
	var s v1alpha1.SentinelConfig
	if err := c.client.Get(t.Context(), kube.ObjectKey{Namespace: c.Namespace, Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// change changes a SentinelConfig as an operator does.
func (c cluster) change(t *testing.T, name, patch string) {
	t.Helper()
	c.Kubectl(t, "patch", "sentinelconfig", name, "--type=merge", "--patch="+patch)
}

// eventually waits until a condition of a SentinelConfig is as wanted:
// "True Polling", of its newest generation.
func (c cluster) eventually(t *testing.T, name, typ, want string) metav1.Condition {
	t.Helper()
	var last *metav1.Condition
	for deadline := time.Now().Add(2 * ceiling); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		s := c.get(t, name)
		last = meta.FindStatusCondition(s.Status.Conditions, typ)
		if last != nil && string(last.Status)+" "+last.Reason == want && last.ObservedGeneration == s.Generation {
			return *last
		}
	}
	t.Fatalf("%s of %s is %+v, want %s", typ, name, last, want)
	return metav1.Condition{}
}

// outage is an API that may fail: the answer of a fault, or the API's own.
type outage struct {
	http.RoundTripper
	mu    sync.Mutex
	fault func(*http.Request) (*http.Response, error)
}

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	fault := o.fault
	o.mu.Unlock()
	if fault != nil {
		if answer, err := fault(r); answer != nil || err != nil {
			return answer, err
		}
	}
	return o.RoundTripper.RoundTrip(r)
}

func (o *outage) set(fault func(*http.Request) (*http.Response, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = fault
}

func answer(status int, contentType, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}, "Retry-After": {"1"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// replica is a running sentinel.
type replica struct {
	api    *api
	outage *outage
	deps   Deps
	made   *publishers
	stop   func()
	events broker.Subscriber
}

// publishers counts what was made.
type publishers struct {
	mu   sync.Mutex
	made []string
}

func (p *publishers) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.made, " ")
}

// operator runs a sentinel under an account's rights until the test ends.
func (c cluster) operator(t *testing.T, as *rest.Config) *replica {
	t.Helper()
	a, b := newAPI(), stub.New()
	r := &replica{api: a, outage: &outage{RoundTripper: a}, made: &publishers{},
		events: b.Subscriber("hyperfleet.clusters.changed.v1", "sub", broker.Limits{})}
	r.deps = deps(b, r.outage)
	r.deps.Kubernetes = as
	r.deps.Publisher = func(_ context.Context, s v1alpha1.SentinelConfig) (broker.Publisher, error) {
		r.made.mu.Lock()
		defer r.made.mu.Unlock()
		r.made.made = append(r.made.made, s.Name+":"+s.Spec.Broker.Type)
		return b.Publisher("hyperfleet.clusters.changed.v1"), nil
	}
	cfg := DefaultConfig()
	cfg.Namespace, cfg.Broker = c.Namespace, &v1alpha1.PublisherBroker{Type: broker.TypeStub}
	cfg.LeaseDuration, cfg.LeaseRenewDeadline, cfg.LeaseRetryPeriod = 4*time.Second, 3*time.Second, 200*time.Millisecond
	s, err := New(cfg, r.deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the sentinel ended with %v", err)
			}
		case <-time.After(ceiling):
			t.Error("the sentinel does not end")
		}
	})
	t.Cleanup(r.stop)
	return r
}

// asked waits until the API was asked with these words of a query.
func (r *replica) asked(t *testing.T, query string) {
	t.Helper()
	for deadline := time.Now().Add(2 * ceiling); ; time.Sleep(20 * time.Millisecond) {
		r.api.mu.Lock()
		all := strings.Join(r.api.queries, "\n")
		r.api.mu.Unlock()
		if strings.Contains(all, query) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the API was not asked %q but\n%s", query, all)
		}
	}
}

func TestTheSpecificationsSentinelConfigsApplyUnchangedAndBothPoll(t *testing.T) {
	c := kubernetes(t)
	c.Apply(t, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: hyperfleet-system}\n"), read(t, "../../libs/apis/v1alpha1/testdata/specification.yaml"))
	r := c.operator(t, c.As(t, account))
	r.api.divide(fleet.ShardCoverage{Name: "cluster-sentinel-us-east", Selector: "region=us-east", Matched: 7})
	r.asked(t, "hyperfleet-api:8080 woken region=us-east 10s brief")
	r.asked(t, "hyperfleet-api:8080 expired region=eu-west 15s brief")
	for _, name := range []string{"cluster-sentinel-us-east", "cluster-sentinel-eu-west"} {
		for typ, want := range map[string]string{
			v1alpha1.ConditionReady: "True Polling", v1alpha1.ConditionAPIReachable: "True Answered", v1alpha1.ConditionLeading: "True LeaseHeld",
			v1alpha1.ConditionRegistered: "True Registered", v1alpha1.ConditionBrokerConnected: "True Connected",
		} {
			c.eventually(t, name, typ, want)
		}
	}
	c.eventually(t, "cluster-sentinel-us-east", v1alpha1.ConditionOverlapping, "False NothingShared")
	table := c.Kubectl(t, "get", "sentinelconfigs")
	t.Log(table)
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME SHARD TYPE INTERVAL MATCHED PENDING LAST POLL READY" {
		t.Errorf("columns %q", got)
	}
	if got := strings.Fields(lines[2]); len(got) != 8 || got[1] != "region=us-east" || got[2] != "clusters" || got[3] != "5s" || got[4] != "7" || got[7] != "True" {
		t.Errorf("row %q", got)
	}
	for namespace, want := range map[string]string{c.Namespace: "cluster-sentinel-eu-west", "hyperfleet-system": "validation-adapter"} {
		if all := c.Kubectl(t, "get", "hyperfleet", "--namespace="+namespace); !strings.Contains(all, want) {
			t.Errorf("kubectl get hyperfleet lists no %s:\n%s", want, all)
		}
	}
	r.stop()
	if leading := meta.FindStatusCondition(c.get(t, "cluster-sentinel-us-east").Status.Conditions, v1alpha1.ConditionLeading); leading == nil || leading.Reason != "Released" {
		t.Errorf("after the stop: %+v", leading)
	}
}

// shardA is a small shard that polls often.
const shardA = `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: a}
spec: {resourceType: clusters, shardSelector: {matchLabels: {region: us-east}}, pollInterval: 50ms, hyperfleetAPI: {url: "http://api:1", timeout: 300ms}}
`

func TestAChangedConfigTakesEffectWithoutARestart(t *testing.T) {
	c := kubernetes(t)
	c.Apply(t, []byte(shardA))
	r := c.operator(t, c.As(t, account))
	r.asked(t, "woken region=us-east 10s brief")
	c.change(t, "a", `{"spec":{"shardSelector":{"matchLabels":{"region":"eu-west"},"matchExpressions":[{"key":"tier","operator":"NotIn","values":["test"]}]}}}`)
	r.asked(t, "woken region=eu-west,tier notin (test) 10s brief")
	c.change(t, "a", `{"spec":{"backoffNotReady":"17s"}}`)
	r.asked(t, "expired region=eu-west,tier notin (test) 17s brief")
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	if got := r.made.all(); got != "a:stub" {
		t.Errorf("publishers made before the broker's settings changed: %s", got)
	}
	c.change(t, "a", `{"spec":{"broker":{"type":"rabbitmq","exchange":"e","routingKey":"k"}}}`)
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	if got := r.made.all(); got != "a:stub a:rabbitmq" {
		t.Errorf("publishers made after: %s", got)
	}
	c.Kubectl(t, "delete", "sentinelconfig", "a")
	eventually(t, "the shard is released", func() bool { return len(r.api.held()) == 0 })
	c.Apply(t, []byte(shardA))
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * ceiling); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func TestWhatTheAPIServerCannotJudgeIsToldOnTheObjectAndTheLastGoodOneGoesOn(t *testing.T) {
	c := kubernetes(t)
	c.Apply(t, []byte(shardA))
	r := c.operator(t, c.As(t, account))
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	c.change(t, "a", `{"spec":{"resourceType":"pods","shardSelector":{"matchLabels":{"region":"no spaces"}}}}`)
	told := c.eventually(t, "a", v1alpha1.ConditionReady, "False Invalid")
	for _, want := range []string{`unknown type "pods"`, "no spaces", "the last valid configuration goes on"} {
		if !strings.Contains(told.Message, want) {
			t.Errorf("Ready says %q, which does not name %q", told.Message, want)
		}
	}
	r.api.mu.Lock()
	r.api.queries = nil
	r.api.mu.Unlock()
	r.asked(t, "woken region=us-east 10s brief")
	eventually(t, "an event tells of it", func() bool {
		return strings.Contains(c.Kubectl(t, "events", "--for=sentinelconfig/a", "--types=Warning"), "unknown type")
	})
	c.change(t, "a", `{"spec":{"resourceType":"clusters","shardSelector":{"matchLabels":{"region":"ap-south"}}}}`)
	r.asked(t, "woken region=ap-south 10s brief")
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
}

func TestConditionsSayWhatIsWrongWithTheAPI(t *testing.T) {
	c := kubernetes(t)
	c.Apply(t, []byte(shardA))
	r := c.operator(t, c.As(t, account))
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	problem := func(status int, code fleet.Code) func(*http.Request) (*http.Response, error) {
		return answer(status, "application/problem+json", fmt.Sprintf(`{"type":"about:blank","title":"x","status":%d,"detail":"said so","code":%q,"request_id":"1"}`, status, code))
	}
	for name, tt := range map[string]struct {
		fault func(*http.Request) (*http.Response, error)
		want  string
	}{
		"it answers 500":                   {problem(500, fleet.Internal), "False Internal"},
		"it answers 429":                   {problem(429, fleet.RateLimited), "False RateLimited"},
		"it does not answer in time":       {func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }, "False Unavailable"},
		"it answers half a body":           {answer(200, "application/json", `{"kind":"DueList","items":[{"id"`), "False Internal"},
		"a proxy answers":                  {answer(200, "text/html", "<html>hello</html>"), "False Internal"},
		"it does not take the credentials": {problem(401, fleet.Unauthenticated), "False Unauthenticated"},
	} {
		t.Run(name, func(t *testing.T) {
			r.outage.set(tt.fault)
			got := c.eventually(t, "a", v1alpha1.ConditionAPIReachable, tt.want)
			if got.Message == "" {
				t.Error("it does not say why")
			}
			c.eventually(t, "a", v1alpha1.ConditionReady, "False APIUnreachable")
			r.outage.set(nil)
			c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
		})
	}
}

func TestWithReadOnlyCredentialsMemoryPacesAndTheObjectSaysSo(t *testing.T) {
	c := kubernetes(t)
	c.Apply(t, []byte(shardA))
	r := c.operator(t, c.As(t, account))
	r.outage.set(func(q *http.Request) (*http.Response, error) {
		if q.Method == http.MethodGet {
			return nil, nil
		}
		return answer(403, "application/problem+json", `{"type":"about:blank","title":"x","status":403,"detail":"viewers only read","code":"forbidden","request_id":"1"}`)(q)
	})
	received := make(chan string, 100)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.events.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
			received <- d.Event.Subject()
			return broker.Ack()
		})
	}()
	c.eventually(t, "a", v1alpha1.ConditionRegistered, "False Forbidden")
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	before := r.asks()
	eventually(t, "twenty more polls", func() bool { return r.asks() > before+40 })
	stop()
	<-ended
	if n := len(received); n != 1 {
		t.Errorf("the resource that stays due was published %d times within its backoff, want once", n)
	}
}

func (r *replica) asks() int {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()
	return len(r.api.queries)
}
