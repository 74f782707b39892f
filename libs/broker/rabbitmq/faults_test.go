package rabbitmq

import (
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

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq/rabbitdev"
)

func TestAProblemIsSaidInLogReadinessAndMetricAndEndsByItself(t *testing.T) {
	n := rabbit(t)
	if err := errors.Join(n.AddUser("writer", password, "^$", ".*", ".*"), n.AddUser("reader", password, ".*", "^$", ".*")); err != nil {
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
		name, says, exchange string
		reason               health.Reason
		settings             broker.Settings
		before, mend, after  func(t *testing.T)
		late                 bool // the problem shows only once there is a connection
	}{
		{
			name: "an address where nobody listens", reason: health.Unreachable, says: "connection refused", exchange: "faults.address",
			settings: broker.Settings{URLFile: url},
			mend:     func(t *testing.T) { rewrite(t, url, n.URL()) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.address")) },
		},
		{
			name: "an address that is none", reason: health.Configuration, says: "is no address of the form amqp://", exchange: "faults.none",
			settings: broker.Settings{URLFile: write(t, "url", "http://app:"+password+"@x:y")},
		},
		{
			name: "a password that is wrong", reason: health.Credentials, says: `refuses user "writer"`, exchange: "faults.password",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/", UsernameFile: user, PasswordFile: secret},
			before:   func(t *testing.T) { admin(t, exchange("faults.password", "topic")) },
			mend:     func(t *testing.T) { rewrite(t, secret, password) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.password")) },
		},
		{
			name: "a file that is missing", reason: health.Configuration, says: "read the broker's credentials", exchange: "faults.file",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/", UsernameFile: user, PasswordFile: filepath.Join(t.TempDir(), "none")},
		},
		{
			name: "a virtual host that does not exist", reason: health.Credentials, says: `virtual host "nowhere"`, exchange: "faults.vhost",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/nowhere"},
		},
		{
			name: "an exchange that is missing, without the permission to create it", reason: health.Topology, exchange: "faults.missing",
			says:     `exchange "faults.missing" does not exist, and the user has no permission to create it`,
			settings: broker.Settings{URLFile: write(t, "url", "amqp://writer:"+password+"@"+n.Addr()+"/")},
			mend:     func(t *testing.T) { admin(t, exchange("faults.missing", "topic")) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.missing")) },
		},
		{
			name: "an exchange that the user may not write to", late: true, reason: health.Credentials, says: "lacks a permission", exchange: "faults.refused",
			settings: broker.Settings{URLFile: write(t, "url", "amqp://reader:"+password+"@"+n.Addr()+"/")},
			mend: func(t *testing.T) {
				if err := n.Permit("reader", ".*", ".*", ".*"); err != nil {
					t.Fatal(err)
				}
			},
			after: func(t *testing.T) { admin(t, noExchange("faults.refused")) },
		},
		{
			name: "an exchange of another kind", reason: health.Topology, says: "exists with other properties", exchange: "faults.kind",
			settings: broker.Settings{URL: "amqp://" + n.Addr() + "/"},
			before:   func(t *testing.T) { admin(t, exchange("faults.kind", "fanout")) },
			mend:     func(t *testing.T) { admin(t, noExchange("faults.kind")) },
			after:    func(t *testing.T) { admin(t, noExchange("faults.kind")) },
		},
		{
			name: "a certificate that nobody known signed", reason: health.Unreachable, says: "certificate", exchange: "faults.tls",
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
			waiting, giveUp := context.WithCancel(t.Context())
			var waits sync.WaitGroup
			waits.Go(func() { _ = p.Publish(waiting, sample("waits")) }) // some problems show only then
			check := p.(broker.Checker).Check
			until(t, "readiness to say "+c.says, func() bool {
				err := check(t.Context())
				return err != nil && strings.Contains(err.Error(), c.says)
			})
			until(t, "the publisher to go on trying", func() bool { return failures(t, registry, "publisher", c.exchange, c.reason) > 2 })
			if up := brokertest.Metric(t, registry, "hyperfleet_broker_connected", "publisher", c.exchange); up != 0 && !c.late {
				t.Errorf("the metric says %v, want 0 for no connection", up)
			}
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
			giveUp()
			waits.Wait()
			ctx, stop := context.WithTimeout(context.Background(), ceiling)
			defer stop()
			if err := p.Close(ctx); err != nil {
				t.Error(err)
			}
			if c.after != nil {
				c.after(t)
			}
			text, connected := said.String(), 0
			if c.mend != nil {
				connected++
			}
			if c.late {
				connected++
			}
			if strings.Count(text, "the broker can be worked with") != connected {
				t.Errorf("the log says other than %d times that there is a connection:\n%s", connected, text)
			}
			if strings.Count(text, "cannot work with the broker") != 1 {
				t.Errorf("the log says it other than once:\n%s", text)
			}
			if strings.Contains(text, password) {
				t.Errorf("the log tells the password:\n%s", text)
			}
		})
	}
}

func TestADiskAlarmIsSaidAndPublishersWait(t *testing.T) {
	h := newHarness(t).(*harness)
	var said record
	h.driver.log = slog.New(slog.NewTextHandler(&said, nil))
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
	if v := brokertest.Metric(t, h.registry, "hyperfleet_broker_blocked", "publisher", "faults.disk"); v != 1 {
		t.Errorf("the metric says %v", v)
	}
	if text := said.String(); strings.Count(text, "the broker takes no events") != 1 || !strings.Contains(text, "disk") {
		t.Errorf("the log does not say it once:\n%s", text)
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
	var (
		name  = write(t, "name", "first")
		files = t.TempDir()
		ca    = filepath.Join(files, "ca.crt")
		cert  = filepath.Join(files, "tls.crt")
		key   = filepath.Join(files, "tls.key")
	)
	replace := func(to map[string]string) { // by a rename, as a mounted Secret is
		for path, from := range to {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, path+".new", string(text))
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(map[string]string{ca: n.CAFile(), cert: n.ClientCertFile(), key: n.ClientKeyFile()})
	px := newProxy(t, n.TLSAddr())
	_, port, err := net.SplitHostPort(px.addr())
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(broker.Settings{
		URL: "amqps://localhost:" + port + "/", CAFile: ca, CertFile: cert, KeyFile: key, UsernameFile: name, PasswordFile: write(t, "password", password),
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
	refused := func(what, says string) {
		t.Helper()
		px.cut()
		until(t, what+" to be refused", func() bool {
			err := p.(broker.Checker).Check(t.Context())
			return err != nil && strings.Contains(err.Error(), says)
		})
	}
	replace(map[string]string{ca: n.StrangerCertFile()})
	refused("another authority's certificate", "certificate signed by unknown authority")
	replace(map[string]string{ca: n.CAFile()})
	published(t, p)

	replace(map[string]string{cert: n.StrangerCertFile(), key: n.StrangerKeyFile()})
	refused("a stranger's certificate", "tls: certificate required")
	replace(map[string]string{cert: n.ClientCertFile(), key: n.ClientKeyFile()})
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
	n, err := rabbitdev.New(rabbitdev.Options{FeatureFlags: []string{"quorum_queue", "implicit_default_bindings", "virtual_host_metadata", "maintenance_mode_status", "user_limits"}})
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
