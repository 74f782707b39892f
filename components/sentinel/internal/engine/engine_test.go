package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// scene is an engine in a bubble: what was asked, made and closed, in order.
type scene struct {
	mu      sync.Mutex
	queries []string
	log     []string
	changes int   // that the engine told
	refuse  error // to make publishers
	leads   bool
}

func (s *scene) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, what)
}

func (s *scene) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.log, ", ")
	s.log = nil
	return all
}

func (s *scene) RoundTrip(r *http.Request) (*http.Response, error) {
	if q := r.URL.Query(); q.Get("due") == "woken" {
		s.mu.Lock()
		s.queries = append(s.queries, q.Get("labelSelector")+" "+q.Get("backoffNotReady"))
		s.mu.Unlock()
	}
	return nil, errors.New("connection refused")
}

// last is the last question what is due.
func (s *scene) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queries) == 0 {
		return ""
	}
	return s.queries[len(s.queries)-1]
}

// Hold lets the replica lead at once.
func (s *scene) Hold(ctx context.Context, name string, work func(context.Context, func() bool) error) error {
	s.note("hold " + name)
	err := work(ctx, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.leads })
	s.note("release " + name)
	return err
}

type pipe struct {
	scene *scene
	kind  string
}

func (p pipe) Publish(context.Context, event.Event) error { p.scene.note("publish"); return nil }

func (p pipe) Close(context.Context) error { p.scene.note("close " + p.kind); return nil }

func (s *scene) engine(t *testing.T) *Engine {
	e, err := New(Deps{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Health: service.NewHealth(), Transport: s, Holder: "me", Owner: s,
		Publisher: func(_ context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error) {
			s.mu.Lock()
			err := s.refuse
			s.mu.Unlock()
			if err != nil {
				return nil, err
			}
			s.note("open " + c.Spec.Broker.Type)
			return pipe{s, c.Spec.Broker.Type}, nil
		},
		Changed: func(string) { s.mu.Lock(); defer s.mu.Unlock(); s.changes++ },
		Leave:   func(_ context.Context, name string) { s.note("leave " + name) }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func config(region string, change ...func(*v1alpha1.SentinelConfigSpec)) v1alpha1.SentinelConfig {
	c := v1alpha1.SentinelConfig{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.SentinelConfigSpec{
		ResourceType: "clusters", ShardSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"region": region}},
		HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://api"}, Broker: &v1alpha1.PublisherBroker{Type: "stub"},
	}}.Defaults()
	for _, f := range change {
		f(&c.Spec)
	}
	return c
}

// run runs e in a bubble and returns how to stop it.
func run(t *testing.T, e *Engine) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run gave %v", err)
		}
	}
}

func set(t *testing.T, e *Engine, c v1alpha1.SentinelConfig) {
	t.Helper()
	if err := e.Set(c); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeTakesEffectAndOnlyTheBrokersSettingsMakeAnotherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{leads: true}
		e := s.engine(t)
		set(t, e, config("us-east"))
		stop := run(t, e)
		at := func(log, last string) {
			t.Helper()
			time.Sleep(time.Minute) // of the bubble: polls have been made
			if got := s.take(); got != log {
				t.Errorf("%q happened, want %q", got, log)
			}
			if got := s.last(); got != last {
				t.Errorf("asked %q, want %q", got, last)
			}
		}
		at("hold a, open stub", "region=us-east 10s")
		before := s.changes
		set(t, e, config("us-east"))
		at("", "region=us-east 10s")
		if s.changes != before {
			t.Error("the same config again made the shard begin anew")
		}
		set(t, e, config("eu-west"))
		at("", "region=eu-west 10s")
		backoff := func(c *v1alpha1.SentinelConfigSpec) { c.BackoffNotReady = &metav1.Duration{Duration: 17 * time.Second} }
		set(t, e, config("eu-west", backoff))
		at("", "region=eu-west 17s")
		rabbit := func(c *v1alpha1.SentinelConfigSpec) { c.Broker = &v1alpha1.PublisherBroker{Type: "rabbitmq"} }
		set(t, e, config("eu-west", backoff, rabbit))
		at("close stub, open rabbitmq", "region=eu-west 17s")
		e.Claim("a") // an invalid one: what runs goes on
		at("", "region=eu-west 17s")
		e.Remove("a")
		set(t, e, config("us-east"))
		at("close rabbitmq, leave a, release a, hold a, open stub", "region=us-east 10s")
		stop()
		if got := s.take(); got != "close stub, leave a, release a" {
			t.Errorf("at the stop: %q", got)
		}
	})
}

func TestAShardWithoutAPublisherIsToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{leads: true, refuse: errors.New("no such Secret")}
		e := s.engine(t)
		stop := run(t, e)
		defer stop()
		e.Claim("a")
		synctest.Wait()
		if got, ok := e.Status(t.Context(), "a"); !ok || !got.Leading || got.Running || got.Problem != nil {
			t.Errorf("claimed without a config: %+v", got)
		}
		set(t, e, config("us-east"))
		synctest.Wait()
		if got, _ := e.Status(t.Context(), "a"); got.Running || got.Problem == nil || !strings.Contains(got.Problem.Error(), "make the publisher: no such Secret") {
			t.Errorf("without a publisher: %+v", got)
		}
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		time.Sleep(tryAgain)
		synctest.Wait()
		if got, _ := e.Status(t.Context(), "a"); !got.Running || got.Problem != nil || got.Shard != "region=us-east" {
			t.Errorf("with one: %+v", got)
		}
	})
}

func TestNothingIsPublishedOnceTheShardMayBeAnothers(t *testing.T) {
	s := &scene{}
	f := fenced{pipe{s, "stub"}, func() bool { return s.leads }}
	if err := f.Publish(t.Context(), event.New()); !errors.Is(err, errNotLeading) || s.take() != "" {
		t.Errorf("published: %v", err)
	}
	s.leads = true
	if err := f.Publish(t.Context(), event.New()); err != nil || s.take() != "publish" {
		t.Errorf("not published: %v", err)
	}
}
