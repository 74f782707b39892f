package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq/rabbitdev"
)

// server is the node that all tests share; nil where RabbitMQ is not installed.
var server *rabbitdev.Node

func TestMain(m *testing.M) {
	var err error
	if server, err = rabbitdev.New(rabbitdev.Options{}); err != nil && !errors.Is(err, rabbitdev.ErrNotInstalled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if server != nil {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// rabbit returns the shared node.
func rabbit(t testing.TB) *rabbitdev.Node {
	t.Helper()
	if server == nil {
		t.Skip("SKIPPED: " + rabbitdev.ErrNotInstalled.Error())
	}
	return server
}

// harness is the driver behind a proxy.
type harness struct {
	t        testing.TB
	driver   *driver
	registry *prometheus.Registry
	proxy    *proxy
	node     *rabbitdev.Node
	direct   *amqp.Connection // of those who only look
	topics   []string
	names    []string
	killed   bool // the theme crashed the node
}

func newHarness(t testing.TB) brokertest.Harness {
	t.Helper()
	h := &harness{t: t, node: rabbit(t), registry: prometheus.NewRegistry()}
	h.proxy = newProxy(t, h.node.Addr())
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	d, err := open(broker.Settings{URL: "amqp://" + h.proxy.addr() + "/"}, broker.Deps{Log: log, Registry: h.registry})
	if err != nil {
		t.Fatal(err)
	}
	h.driver = d
	t.Cleanup(h.remove)
	return h
}

func route(topic string) broker.Route {
	return broker.Route{Exchange: topic, RoutingKey: "clusters.changed"}
}

func subscription(topic, name string) broker.Subscription {
	return broker.Subscription{Route: route(topic), Name: name}
}

func (h *harness) Publisher(topic string) broker.Publisher {
	h.topics = append(h.topics, topic)
	p, err := h.driver.Publisher(h.t.Context(), route(topic))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			h.t.Error(err)
		}
	})
	return p
}

func (h *harness) Subscriber(topic, name string, l broker.Limits) broker.Subscriber {
	h.topics, h.names = append(h.topics, topic), append(h.names, name)
	s, err := h.driver.Subscriber(h.t.Context(), subscription(topic, name), l)
	if err != nil {
		h.t.Fatal(err)
	}
	// A node that has just started may not be ready for quorum queues.
	for deadline := time.Now().Add(ceiling); ; time.Sleep(100 * time.Millisecond) {
		err := s.(*subscriber).declare(h.t.Context())
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
	}
}

func (h *harness) DeadLetters(topic, name string) broker.DeadLetters {
	d, err := h.driver.DeadLetters(h.t.Context(), subscription(topic, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *harness) Bound(events int) {
	h.driver.queueArguments = map[string]any{"x-max-length": int64(events)}
}

func (h *harness) Cut() { h.proxy.cut() }

func (h *harness) Freeze() func() {
	thaw := h.proxy.freeze()
	h.t.Cleanup(thaw)
	return thaw
}

func (h *harness) Window() int { return Window }

func (h *harness) Unconfirmed(topic string) int {
	return int(brokertest.Metric(h.t, h.registry, "hyperfleet_broker_unconfirmed_events", "publisher", topic))
}

func (h *harness) Stored(_, name string) int {
	if h.direct == nil {
		var err error
		if h.direct, err = amqp.Dial(h.node.URL()); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { h.direct.Close() })
	}
	ch, err := h.direct.Channel()
	if err != nil {
		h.t.Fatal(err)
	}
	defer ch.Close()
	q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return q.Messages
}

func (h *harness) Stop(kill bool) {
	h.killed = h.killed || kill
	h.node.Stop(kill)
}

func (h *harness) Start() (back time.Time) {
	if err := h.node.Start(); err != nil {
		h.t.Fatal(err)
	}
	return h.node.Listening()
}

func (h *harness) Alarm(on bool) {
	if err := h.node.Alarm("memory", on); err != nil {
		h.t.Error(err)
	}
}

// Deny takes the permission to write away, from channels that are opened afterwards.
func (h *harness) Deny(on bool) {
	write := ".*"
	if on {
		write = "^$"
	}
	if err := h.node.Permit("guest", ".*", write, ".*"); err != nil {
		h.t.Error(err)
	}
}

// Unbury deletes the queue; the driver declares it again when it misses it.
func (h *harness) Unbury(_, name string) func() {
	c, err := amqp.Dial(h.node.URL())
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	if err := attempt(c, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(deadQueue(name), false, false, false)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return func() {}
}

// remove deletes what the theme made, so that the node stays quick. To delete
// quorum queues soon after a crash may leave the node's log of them in
// disorder, which is the broker's affair: the next theme gets it started anew.
func (h *harness) remove() {
	if h.killed {
		defer func() {
			h.node.Stop(false)
			h.Start()
		}()
	}
	c, err := amqp.Dial(h.node.URL())
	if err != nil {
		h.t.Error(err)
		return
	}
	defer c.Close()
	for _, name := range h.names {
		for _, q := range queues(name, nil) {
			if err := attempt(c, func(ch *amqp.Channel) error { _, err := ch.QueueDelete(q.name, false, false, false); return err }); err != nil {
				h.t.Error(err)
			}
		}
	}
	for _, topic := range h.topics {
		if err := attempt(c, func(ch *amqp.Channel) error { return ch.ExchangeDelete(topic, false, false) }); err != nil {
			h.t.Error(err)
		}
	}
}

func TestConformance(t *testing.T) {
	rabbit(t)
	brokertest.Exercise(t, newHarness,
		brokertest.Together(4, brokertest.Restarting, brokertest.Alarming, brokertest.Denying),
		brokertest.Without(brokertest.Ordering, "retries and lost connections reorder; events need no order"))
}
