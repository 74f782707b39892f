package pubsub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// process is a driver with a log and metrics that a test can read.
type process struct {
	t *testing.T
	*driver
	log      *journal
	registry *prometheus.Registry
}

// journal is a log that may be written and read at once.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newProcess(t *testing.T, s broker.Settings, addr string) *process {
	t.Helper()
	p := &process{t: t, log: &journal{}, registry: prometheus.NewRegistry()}
	d, err := open(s, broker.Deps{Log: slog.New(slog.NewTextHandler(p.log, nil)), Registry: p.registry}, addr)
	if err != nil {
		t.Fatal(err)
	}
	p.driver = d
	return p
}

// receive runs a subscriber until the test ends, or stop is called.
func (p *process) receive(topic, name string) (s broker.Subscriber, got chan string, stop func()) {
	p.t.Helper()
	s, err := p.Subscriber(p.t.Context(), subscriptionOf(topic, name), broker.Limits{})
	if err != nil {
		p.t.Fatal(err)
	}
	got = make(chan string, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
			got <- d.Event.ID()
			return broker.Ack()
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				p.t.Errorf("Receive: %v", err)
			}
		case <-time.After(8 * time.Second):
			p.t.Error("Receive did not return in time for a process that must end within ten seconds")
		}
	})
	p.t.Cleanup(stop)
	return s, got, stop
}

// problem waits until c tells a problem, and checks the log and metrics too.
func (p *process) problem(c any, role, name string, reason health.Reason, want ...string) {
	p.t.Helper()
	var err error
	for deadline := time.Now().Add(ceiling); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Second) // as readiness has
		err = c.(broker.Checker).Check(ctx)
		cancel()
		if err != nil && containsAll(err.Error(), want) {
			break
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the check says %v, want %q", err, want)
		}
	}
	if text := p.log.String(); !containsAll(text, want) {
		p.t.Errorf("the log has not %q:\n%s", want, text)
	}
	if up := brokertest.Metric(p.t, p.registry, "hyperfleet_broker_connected", role, name); up != 0 {
		p.t.Errorf("hyperfleet_broker_connected is %v", up)
	}
	if n := brokertest.Metric(p.t, p.registry, "hyperfleet_broker_connection_failures_total", role, name, string(reason)); n == 0 {
		p.t.Errorf("hyperfleet_broker_connection_failures_total counts no %s", reason)
	}
}

func containsAll(text string, want []string) bool {
	text = strings.ReplaceAll(text, `\"`, `"`)
	for _, w := range want {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// well waits until c has nothing to complain about.
func (p *process) well(c any) {
	p.t.Helper()
	for deadline := time.Now().Add(ceiling); ; time.Sleep(10 * time.Millisecond) {
		err := c.(broker.Checker).Check(p.t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the check still says %v", err)
		}
	}
}

func sample(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("pubsub")
	e.SetType("com.redhat.hyperfleet.test.v1")
	e.SetSubject(id)
	return e
}

func publishOne(t *testing.T, p broker.Publisher, id string, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return p.Publish(ctx, sample(id))
}

func (p *process) publisher(topic string) broker.Publisher {
	p.t.Helper()
	pub, err := p.Publisher(p.t.Context(), broker.Route{ProjectID: project, Topic: topic})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { pub.Close(context.Background()) })
	return pub
}

func next(t *testing.T, got chan string, want string) {
	t.Helper()
	select {
	case id := <-got:
		if id != want {
			t.Fatalf("got %s, want %s", id, want)
		}
	case <-time.After(ceiling):
		t.Fatalf("waited %s for %s", ceiling, want)
	}
}

func TestABrokerThatIsAwayIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Stop(true)
	p := newProcess(t, broker.Settings{CreateTopology: true}, f.addr)
	s, got, stop := p.receive("topic", "sub")
	pub := p.publisher("topic")
	p.problem(s, "subscriber", "sub", health.Unreachable, "Pub/Sub cannot be reached")
	if err := publishOne(t, pub, "impatient", time.Second); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Fatalf("Publish gave %v", err)
	}
	p.problem(pub, "publisher", "topic", health.Unreachable, "Pub/Sub cannot be reached")
	f.Start()
	p.well(s)
	if err := publishOne(t, pub, "a", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	next(t, got, "a")
	f.Stop(true)
	p.problem(s, "subscriber", "sub", health.Unreachable, "Pub/Sub cannot be reached")
	stop() // in time, though the broker is away
}

func TestWhatIsMissingIsNamedWithTheCommandsThatCreateIt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newProcess(t, broker.Settings{}, f.addr)
	s, got, _ := p.receive("topic", "sub")
	pub := p.publisher("topic")
	want := []string{"there is no subscription sub", "there is no topic topic", "there is no topic sub-dead-letters",
		"--create-topology", "gcloud pubsub topics create topic --project=" + project, "gcloud pubsub subscriptions create sub "}
	p.problem(s, "subscriber", "sub", health.Topology, want...)
	if err := publishOne(t, pub, "waits", time.Second); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "gcloud pubsub topics create topic") {
		t.Fatalf("Publish gave %v", err)
	}
	f.Subscriber("topic", "sub", broker.Limits{}) // somebody creates it
	p.well(s)
	p.well(pub)
	if err := publishOne(t, pub, "a", ceiling); err != nil {
		t.Fatal(err)
	}
	next(t, got, "a")
}

func TestAQuotaThatIsUsedUpIsToldUntilNothingIsRefusedAndPublishersWait(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Subscriber("topic", "sub", broker.Limits{})
	p := newProcess(t, broker.Settings{}, f.addr)
	pub := p.publisher("topic")
	p.well(pub)
	metric := func(name string) float64 { return brokertest.Metric(t, p.registry, name, "publisher", "topic") }
	f.Alarm(true)
	answered := make(chan error, 1)
	go func() { answered <- publishOne(t, pub, "waits", ceiling) }()
	for deadline := time.Now().Add(ceiling); metric("hyperfleet_broker_blocked") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the metric does not say it")
		}
	}
	if err := publishOne(t, pub, "impatient", quotaFresh); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "quota exceeded") {
		t.Errorf("Publish gave %v", err)
	}
	if err := pub.(broker.Checker).Check(t.Context()); err == nil || !containsAll(err.Error(), []string{"takes no events", "quota exceeded"}) {
		t.Errorf("the check says %v", err)
	}
	if n := strings.Count(p.log.String(), "takes no events"); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, p.log)
	}
	if metric("hyperfleet_broker_connected") != 1 {
		t.Error("a broker that refuses counts as one that is away")
	}
	select {
	case err := <-answered:
		t.Fatalf("Publish gave %v before the quota allowed it", err)
	default:
	}
	f.Alarm(false)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	p.well(pub)
	if metric("hyperfleet_broker_blocked") != 0 {
		t.Error("the metric still says it")
	}
}

func TestAMissingPermissionToCreateIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.fence.refuse("CreateTopic", status.Error(codes.PermissionDenied, "User not authorized to perform this action."))
	p := newProcess(t, broker.Settings{CreateTopology: true}, f.addr)
	s, _, _ := p.receive("topic", "sub")
	p.problem(s, "subscriber", "sub", health.Credentials, "create topic topic", "lacks a permission", "roles/pubsub.subscriber")
	pub := p.publisher("topic")
	p.problem(pub, "publisher", "topic", health.Credentials, "create topic topic", "lacks a permission")
	f.fence.refuse("CreateTopic", nil)
	p.well(s)
	p.well(pub)
}

func TestWhoMayNotLookAtTheTopologyMayStillWork(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Subscriber("topic", "sub", broker.Limits{})
	for _, m := range []string{"GetTopic", "GetSubscription", "ListTopicSubscriptions"} {
		f.fence.refuse(m, status.Error(codes.PermissionDenied, "User not authorized to perform this action."))
	}
	p := newProcess(t, broker.Settings{}, f.addr)
	_, got, _ := p.receive("topic", "sub")
	if err := publishOne(t, p.publisher("topic"), "a", ceiling); err != nil {
		t.Fatal(err)
	}
	next(t, got, "a")
}

func TestABadCredentialsFileIsNamedAndNeverShown(t *testing.T) {
	const secret = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
	for name, text := range map[string]string{
		"no JSON":       secret,
		"cut off":       `{"type": "service_account", "private_key": "` + secret,
		"of no type":    `{"private_key": "` + secret + `"}`,
		"of a bad type": `{"type": "` + secret + `", "private_key": "` + secret + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "credentials.json")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
			p := newProcess(t, broker.Settings{}, "")
			s, _, _ := p.receive("topic", "sub")
			pub := p.publisher("topic")
			p.problem(s, "subscriber", "sub", health.Credentials, "GOOGLE_APPLICATION_CREDENTIALS")
			p.problem(pub, "publisher", "topic", health.Credentials, "GOOGLE_APPLICATION_CREDENTIALS")
			err := publishOne(t, pub, "a", time.Second)
			if err == nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Publish gave %v", err)
			}
			if text := err.Error() + p.log.String(); strings.Contains(text, secret) {
				t.Fatalf("a secret is shown:\n%s", text)
			}
		})
	}
}

func TestAProjectAndNamesAreAskedFor(t *testing.T) {
	t.Parallel()
	p := newProcess(t, broker.Settings{}, "127.0.0.1:1")
	_, err := p.Publisher(t.Context(), broker.Route{})
	if err == nil || !containsAll(err.Error(), []string{"projectID", "topic"}) {
		t.Errorf("Publisher gave %v", err)
	}
	_, err = p.Subscriber(t.Context(), broker.Subscription{}, broker.Limits{})
	if err == nil || !containsAll(err.Error(), []string{"projectID", "topic", "subscription"}) {
		t.Errorf("Subscriber gave %v", err)
	}
}
