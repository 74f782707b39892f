package sentinel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// closeTimeout bounds the closing of a publisher: what was in flight has
// already ended, or was given up.
const closeTimeout = time.Second

// Deps are what a sentinel works with. All but Transport are needed.
type Deps struct {
	Log       *slog.Logger
	Registry  prometheus.Registerer
	Health    *service.Health
	Transport http.RoundTripper // to the API; nil = one of its own
	// Publisher makes the publisher of one SentinelConfig, whose broker is set.
	Publisher func(ctx context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error)
}

// Sentinel runs the shards of one process.
type Sentinel struct {
	deps   Deps
	shards []unit
}

// unit is one SentinelConfig and what its shard needs but the publisher, which
// is made when it runs.
type unit struct {
	config  v1alpha1.SentinelConfig
	shard   shard.Config
	api     *client.Client
	metrics *shard.Metrics
}

// New checks cfg and registers the metrics and the readiness check of each shard.
func New(cfg Config, deps Deps) (*Sentinel, error) {
	configs, err := cfg.sentinels()
	if err != nil {
		return nil, err
	}
	collectors, err := shard.NewCollectors(deps.Registry)
	if err != nil {
		return nil, fmt.Errorf("register the sentinel's metrics: %w", err)
	}
	if cfg.TokenFile != "" {
		deps.Transport = client.Bearer(deps.Transport, client.TokenFile(cfg.TokenFile))
	}
	me, err := holder()
	if err != nil {
		return nil, err
	}
	s := &Sentinel{deps: deps}
	for _, c := range configs {
		u, err := newUnit(c, deps.Transport)
		if err != nil {
			return nil, err
		}
		u.shard.Holder = me
		if u.metrics, err = collectors.For(u.shard.Type, c.Name); err != nil {
			return nil, fmt.Errorf("SentinelConfig %q: register its metrics: %w", c.Name, err)
		}
		s.shards = append(s.shards, u)
		deps.Health.Add("shard "+c.Name, notStarted)
	}
	return s, nil
}

func notStarted(context.Context) error { return errors.New("the shard has not started yet") }

// holder is who this process is to others that run the same SentinelConfigs:
// its pod or host, and a part that no other start of it has.
func holder() (string, error) {
	name := os.Getenv("POD_NAME")
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("name the holder of the shards: %w; set POD_NAME", err)
		}
	}
	return name + "-" + strings.ToLower(rand.Text()[:8]), nil
}

func newUnit(c v1alpha1.SentinelConfig, rt http.RoundTripper) (unit, error) {
	selector, err := c.Selector()
	if err != nil {
		return unit{}, fmt.Errorf("SentinelConfig %q: %w", c.Name, err)
	}
	api, err := client.New(c.Spec.HyperfleetAPI.URL, rt, c.Spec.HyperfleetAPI.Timeout.Duration)
	if err != nil {
		return unit{}, fmt.Errorf("SentinelConfig %q: %w", c.Name, err)
	}
	u := unit{config: c, api: api, shard: shard.Config{
		Name:         c.Name,
		Type:         fleet.ResourceType(c.Spec.ResourceType),
		Selector:     selector.String(),
		Backoff:      fleet.Backoff{NotReady: c.Spec.BackoffNotReady.Duration, Ready: c.Spec.BackoffReady.Duration},
		PollInterval: c.Spec.PollInterval.Duration,
	}}
	if most := c.Spec.MaxEventsPerSecond; most != nil {
		u.shard.MaxEventsPerSecond = int(*most)
	}
	return u, nil
}

// Run runs every shard until ctx ends, then lets each finish and record what is
// in flight. It returns within ten seconds of ctx's end; nil then, else why a
// shard could not start.
func (s *Sentinel) Run(ctx context.Context) error {
	parts := make([]service.Part, 0, len(s.shards))
	for _, u := range s.shards {
		parts = append(parts, service.Part{Name: "shard " + u.config.Name, Run: func(ctx context.Context) error {
			return s.run(ctx, u)
		}})
	}
	return service.Run(ctx, parts...)
}

func (s *Sentinel) run(ctx context.Context, u unit) error {
	publisher, err := s.deps.Publisher(ctx, u.config)
	if err != nil {
		return fmt.Errorf("make the publisher: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := publisher.Close(ctx); err != nil {
			s.deps.Log.Warn("publisher not closed in time", "shard", u.config.Name, "err", err)
		}
	}()
	if c, ok := publisher.(broker.Checker); ok {
		s.deps.Health.Add("broker of shard "+u.config.Name, c.Check)
	}
	running := shard.New(u.shard, shard.Deps{API: u.api, Registrar: u.api, Publisher: publisher, Metrics: u.metrics, Log: s.deps.Log})
	s.deps.Health.Add("shard "+u.config.Name, running.Ready)
	s.deps.Log.Info("shard starts", "shard", u.config.Name, "selector", u.shard.Selector, "resource_type", u.shard.Type)
	return running.Run(ctx)
}
