package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

const (
	ceiling  = 30 * time.Second
	password = "hunter2"
)

// record is a log that can be read while it is written.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// failures counts the connections of one publisher or subscriber that failed.
func failures(t testing.TB, from prometheus.Gatherer, role, name string, reason health.Reason) float64 {
	t.Helper()
	return brokertest.Metric(t, from, "hyperfleet_broker_connection_failures_total", role, name, string(reason))
}

// until waits for ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(ceiling); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", ceiling, what)
		}
	}
}

func sample(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("test")
	e.SetType("test")
	e.SetSubject("s-" + id)
	return e
}

// write writes a file of a test's directory.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// published publishes until the exchange answers, if only that nobody listens.
func published(t *testing.T, p broker.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	if err := p.Publish(ctx, sample("a")); !errors.Is(err, broker.ErrUnroutable) {
		t.Fatalf("Publish gave %v, want that nobody listens", err)
	}
}

func admin(t *testing.T, do func(*amqp.Channel) error) {
	t.Helper()
	c, err := amqp.Dial(rabbit(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := attempt(c, do); err != nil {
		t.Fatal(err)
	}
}

func exchange(name, kind string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error { return ch.ExchangeDeclare(name, kind, true, false, false, false, nil) }
}

func noExchange(name string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) }
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
