package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq/internal/node"
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

func TestAProblemIsSaidInLogReadinessAndMetricAndEndsByItself(t *testing.T) {
	n := rabbit(t)
	if err := n.AddUser("writer", password, "^$", ".*", ".*"); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	var (
		user   = write(t, "user", "writer\n")
		secret = write(t, "password", "wrong-"+password+"\n")
		url    = write(t, "url", "amqp://"+closed.Addr().String()+"/")
	)
	for _, c := range []struct {
		name, says, reason, exchange string
		settings                     broker.Settings
		before, mend, after          func(t *testing.T)
	}{
		{
			name: "an address where nobody listens", reason: reasonUnreachable, says: "connection refused", exchange: "faults.address",
			settings: broker.Settings{URLFile: url},
			mend:     func(t *testing.T) { rewrite(t, url, n.URL()) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.address")) },
		},
		{
			name: "an address that is none", reason: reasonConfiguration, says: "is no address of the form amqp://", exchange: "faults.none",
			settings: broker.Settings{URLFile: write(t, "url", "http://app:"+password+"@x:y")},
		},
		{
			name: "a password that is wrong", reason: reasonCredentials, says: `refuses user "writer"`, exchange: "faults.password",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/", UsernameFile: user, PasswordFile: secret},
			before:   func(t *testing.T) { admin(t, exchange("faults.password", "topic")) },
			mend:     func(t *testing.T) { rewrite(t, secret, password) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.password")) },
		},
		{
			name: "a file that is missing", reason: reasonConfiguration, says: "read the broker's credentials", exchange: "faults.file",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/", UsernameFile: user, PasswordFile: filepath.Join(t.TempDir(), "none")},
		},
		{
			name: "a virtual host that does not exist", reason: reasonCredentials, says: `virtual host "nowhere"`, exchange: "faults.vhost",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/nowhere"},
		},
		{
			name: "an exchange that is missing, without the permission to create it", reason: reasonTopology, exchange: "faults.missing",
			says:     `exchange "faults.missing" does not exist, and the user has no permission to create it`,
			settings: broker.Settings{URLFile: write(t, "url", "amqp://writer:"+password+"@"+n.Addr()+"/")},
			mend:     func(t *testing.T) { admin(t, exchange("faults.missing", "topic")) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.missing")) },
		},
		{
			name: "an exchange of another kind", reason: reasonTopology, says: "exists with other properties", exchange: "faults.kind",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/"},
			before:   func(t *testing.T) { admin(t, exchange("faults.kind", "fanout")) },
			mend:     func(t *testing.T) { admin(t, noExchange("faults.kind")) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.kind")) },
		},
		{
			name: "a certificate that nobody known signed", reason: reasonUnreachable, says: "certificate", exchange: "faults.tls",
			settings: broker.Settings{URL: "amqps://" + n.TLSAddr() + "/"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before(t)
			}
			var said record
			registry := prometheus.NewRegistry()
			d, err := open(c.settings, broker.Deps{Log: slog.New(slog.NewTextHandler(&said, nil)), Registry: registry})
			if err != nil {
				t.Fatal(err)
			}
			p, err := d.Publisher(t.Context(), route(c.exchange))
			if err != nil {
				t.Fatal(err)
			}
			check := p.(broker.Checker).Check
			until(t, "readiness to say "+c.says, func() bool {
				err := check(t.Context())
				return err != nil && strings.Contains(err.Error(), c.says)
			})
			failures := d.meters.failures.WithLabelValues("publisher", c.exchange, c.reason)
			until(t, "the publisher to go on trying", func() bool { return testutil.ToFloat64(failures) > 2 })
			impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := p.Publish(impatient, sample("a")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Publish gave %v, want the context's end and why", err)
			}
			if c.mend != nil {
				c.mend(t)
				published(t, p)
				if err := check(t.Context()); err != nil {
					t.Errorf("readiness says %v after the problem has ended", err)
				}
			}
			ctx, stop := context.WithTimeout(context.Background(), ceiling)
			defer stop()
			if err := p.Close(ctx); err != nil {
				t.Error(err)
			}
			if c.after != nil {
				c.after(t)
			}
			text := said.String()
			if strings.Count(text, "dialling on") != 1 {
				t.Errorf("the log says it other than once:\n%s", text)
			}
			if strings.Contains(text, password) {
				t.Errorf("the log tells the password:\n%s", text)
			}
		})
	}
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADiskAlarmIsSaidAndPublishersWait(t *testing.T) {
	h := newHarness(t).(*harness)
	p := h.Publisher("faults.disk")
	published(t, p)
	if err := h.node.Alarm("disk", true); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- p.Publish(t.Context(), sample("waits")) }()
	check := p.(broker.Checker).Check
	until(t, "readiness to say it", func() bool {
		err := check(t.Context())
		return err != nil && strings.Contains(err.Error(), "takes no events")
	})
	if v := testutil.ToFloat64(h.driver.meters.blocked.WithLabelValues("publisher", "faults.disk")); v != 1 {
		t.Errorf("the metric says %v", v)
	}
	select {
	case err := <-answered:
		t.Errorf("Publish returned during the alarm: %v", err)
	default:
	}
	if err := h.node.Alarm("disk", false); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("after the alarm Publish gave %v", err)
	}
	if err := check(t.Context()); err != nil {
		t.Errorf("readiness says %v after the alarm", err)
	}
}

func TestTLSAndCredentialsAreReadAgainAtEveryConnection(t *testing.T) {
	n := rabbit(t)
	if err := errors.Join(n.AddUser("first", password, ".*", ".*", ".*"), n.AddUser("second", password, ".*", ".*", ".*")); err != nil {
		t.Fatal(err)
	}
	name := write(t, "name", "first")
	px := newProxy(t, n.TLSAddr())
	_, port, err := net.SplitHostPort(px.addr())
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(broker.Settings{
		URL: "amqps://localhost:" + port + "/", CAFile: n.CAFile(), UsernameFile: name, PasswordFile: write(t, "password", password),
	}, broker.Deps{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Publisher(t.Context(), route("faults.rotation"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, stop := context.WithTimeout(context.Background(), ceiling)
		defer stop()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		admin(t, noExchange("faults.rotation"))
	}()
	published(t, p)
	rewrite(t, name, "second")
	if err := n.Eval(`rabbit_auth_backend_internal:delete_user(<<"first">>, <<"test">>).`); err != nil {
		t.Fatal(err)
	}
	px.cut()
	published(t, p)
}

func TestABrokerThatWouldLoseDeadLettersIsRefused(t *testing.T) {
	rabbit(t)
	n, err := node.New(node.Options{FeatureFlags: []string{"quorum_queue", "implicit_default_bindings", "virtual_host_metadata", "maintenance_mode_status", "user_limits"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	d, err := open(broker.Settings{URL: "amqp://" + n.Addr() + "/"}, broker.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := newSubscriber(d, subscription("faults", "faults-sub"), broker.Limits{}.Defaults())
	ctx, stop := context.WithCancel(t.Context())
	received := make(chan error, 1)
	go func() {
		received <- s.Receive(ctx, func(context.Context, broker.Delivery) broker.Outcome { return broker.Ack() })
	}()
	until(t, "readiness to say it", func() bool {
		err := s.Check(t.Context())
		return err != nil && strings.Contains(err.Error(), "rabbitmqctl enable_feature_flag stream_queue")
	})
	if err := n.Eval("rabbit_feature_flags:enable(stream_queue)."); err != nil {
		t.Fatal(err)
	}
	until(t, "the subscriber to receive once the flag is set", func() bool { return s.Check(t.Context()) == nil })
	stop()
	if err := <-received; err != nil {
		t.Error(err)
	}
}
