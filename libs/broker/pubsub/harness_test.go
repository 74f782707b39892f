package pubsub

import (
	"context"
	"log/slog"
	"net"
	"path"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Started by the client library for the whole process.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// Ends by itself within ten seconds after Receive.
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"))
}

const project = "hyperfleet-test"

// atOnce is how many themes run at once; each waits most of its time.
const atOnce = 8

// harness is a broker behind a proxy.
type harness struct {
	*proxy
	t        testing.TB
	driver   *driver
	registry *prometheus.Registry
}

func newHarness(t testing.TB, server string) *harness {
	p := newProxy(t, server)
	r := prometheus.NewRegistry()
	d, err := open(broker.Settings{CreateTopology: true}, broker.Deps{Log: testLog(t), Registry: r}, p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return &harness{p, t, d, r}
}

func (h *harness) Publisher(topic string) broker.Publisher {
	p, err := h.driver.Publisher(h.t.Context(), broker.Route{ProjectID: project, Topic: topic})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ceiling)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			h.t.Errorf("Close: %v", err)
		}
	})
	return p
}

func (h *harness) Subscriber(topic, name string, l broker.Limits) broker.Subscriber {
	s, err := h.driver.Subscriber(h.t.Context(), subscriptionOf(topic, name), l)
	if err != nil {
		h.t.Fatal(err)
	}
	// Else what is retried by chance six times waits longer than the suite.
	s.(*subscriber).plan.slowest = 2 * time.Second
	c, err := h.driver.dial(h.t.Context(), project)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	err = persistently(h.t.Context(), func(ctx context.Context) error { return s.(*subscriber).plan.create(ctx, c) })
	if err != nil {
		h.t.Fatalf("declare %s: %v", name, err)
	}
	return s
}

func (h *harness) DeadLetters(topic, name string) broker.DeadLetters {
	d, err := h.driver.DeadLetters(h.t.Context(), subscriptionOf(topic, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (f *fake) Window() int { return Window }

func (f *fake) Unconfirmed(topic string) int {
	return int(brokertest.Metric(f.t, f.registry, "hyperfleet_broker_unconfirmed_events", "publisher", topic))
}

func subscriptionOf(topic, name string) broker.Subscription {
	return broker.Subscription{Route: broker.Route{ProjectID: project, Topic: topic}, Name: name}
}

// fake is a harness on the fake that the client library brings along.
type fake struct {
	*harness
	server *pstest.Server
	fence  fence
}

// fence stands before the fake's calls: it may refuse some, or hold back
// answers to what was done.
type fence struct {
	mu      sync.Mutex
	refused map[string]error // by method
	thawed  chan struct{}    // closed while answers come through
}

func (f *fence) refuse(method string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[method] = err
}

func (f *fence) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	f.mu.Lock()
	err := f.refused[path.Base(info.FullMethod)]
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	answer, err := handle(ctx, req)
	f.mu.Lock()
	thawed := f.thawed
	f.mu.Unlock()
	select {
	case <-thawed:
		return answer, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newFake(t testing.TB) *fake {
	fake := &fake{server: pstest.NewServerWithAddress("127.0.0.1:0")}
	fake.fence.refused, fake.fence.thawed = map[string]error{}, make(chan struct{})
	close(fake.fence.thawed)
	// The fake's own server has no interceptors.
	s := grpc.NewServer(grpc.UnaryInterceptor(fake.fence.intercept), grpc.MaxRecvMsgSize(20<<20))
	pubsubpb.RegisterPublisherServer(s, &fake.server.GServer)
	pubsubpb.RegisterSubscriberServer(s, &fake.server.GServer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	t.Cleanup(func() {
		s.Stop()
		serving.Wait()
		fake.server.Close()
		fake.server.Wait()
	})
	fake.harness = newHarness(t, l.Addr().String())
	return fake
}

// Alarm is what Pub/Sub has: a quota that is exceeded.
func (f *fake) Alarm(on bool) {
	var err error
	if on {
		err = status.Error(codes.ResourceExhausted, "quota exceeded")
	}
	f.fence.refuse("Publish", err)
}

// Deny takes the role of publishers away.
func (f *fake) Deny(on bool) {
	var err error
	if on {
		err = status.Error(codes.PermissionDenied, "User not authorized to perform this action.")
	}
	f.fence.refuse("Publish", err)
}

// Freeze holds back what the fake answers. To freeze the connection would also
// hold back HTTP/2's permission to send more.
func (f *fake) Freeze() (thaw func()) {
	frozen := make(chan struct{})
	f.fence.mu.Lock()
	f.fence.thawed = frozen
	f.fence.mu.Unlock()
	thaw = sync.OnceFunc(func() { close(frozen) })
	f.t.Cleanup(thaw)
	return thaw
}

// Stored counts what the topic has: nobody acknowledges meanwhile.
func (f *fake) Stored(topic, _ string) int {
	ids := map[string]bool{} // what was sent again counts once
	for _, m := range f.server.Messages() {
		if e, err := broker.Decode(m.Data); err == nil && m.Topic == topicName(project, topic) {
			ids[e.ID()] = true
		}
	}
	return len(ids)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	brokertest.Exercise(t, func(t testing.TB) brokertest.Harness { return newFake(t) },
		brokertest.Together(atOnce), brokertest.Leases(lease),
		brokertest.Without(brokertest.Durability, "the fake keeps events in memory, and a stop closes the way to it only"),
		brokertest.Without(brokertest.Bounding, "Pub/Sub's subscriptions have no size"),
		brokertest.Without(brokertest.Unburying, "the driver checks that the dead letters have a topic before it receives"),
		brokertest.Without(brokertest.Returning, "an acknowledgement outlives the connection that brought the event"))
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
