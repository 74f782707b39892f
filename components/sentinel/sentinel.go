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

	"github.com/prometheus/client_golang/prometheus"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/engine"
	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/operator"
	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/ownership"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Deps are what a sentinel works with. All but Transport and Kubernetes are needed.
type Deps struct {
	Log       *slog.Logger
	Registry  prometheus.Registerer
	Health    *service.Health
	Transport http.RoundTripper // to the API; nil = one of its own
	// Kubernetes has the SentinelConfigs and the Leases, unless the configuration
	// has SentinelConfigs of its own.
	Kubernetes *rest.Config
	// Publisher makes the publisher of one SentinelConfig, whose broker is set.
	Publisher func(ctx context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error)
}

// Sentinel runs the shards of one process.
type Sentinel struct {
	parts []service.Part
}

// New checks cfg and registers metrics and readiness checks: of each shard, or
// of Kubernetes, whose SentinelConfigs are read only when it runs.
func New(cfg Config, deps Deps) (*Sentinel, error) {
	configs, err := cfg.sentinels()
	if err != nil {
		return nil, err
	}
	if cfg.TokenFile != "" {
		deps.Transport = client.Bearer(deps.Transport, client.TokenFile(cfg.TokenFile))
	}
	me, err := holder()
	if err != nil {
		return nil, err
	}
	parts := engine.Deps{
		Log: deps.Log, Registry: deps.Registry, Health: deps.Health, Transport: deps.Transport,
		Holder: me, Owner: engine.Alone{}, Publisher: deps.Publisher,
	}
	if cfg.watches() {
		return watch(cfg, deps, parts)
	}
	e, err := engine.New(parts)
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		if err := e.Set(c); err != nil {
			return nil, err
		}
	}
	return &Sentinel{parts: []service.Part{{Name: "shards", Run: e.Run}}}, nil
}

// watch makes a sentinel of the SentinelConfigs of Kubernetes, whose shards it
// shares with its other replicas.
func watch(cfg Config, deps Deps, d engine.Deps) (*Sentinel, error) {
	if deps.Kubernetes == nil {
		return nil, errors.New("no SentinelConfig: name a file that has one, such as --config-file sentinel.yaml, or run where Kubernetes has them")
	}
	kube := rest.CopyConfig(deps.Kubernetes)
	kube.QPS = -1 // what is asked follows the clock
	leases, err := coordinationclient.NewForConfig(kube)
	if err != nil {
		return nil, fmt.Errorf("connect to Kubernetes: %w", err)
	}
	replica, err := ownership.New(ownership.Config{Namespace: cfg.Namespace, Identity: d.Holder, Timing: cfg.timing()},
		ownership.Deps{Leases: leases, Log: deps.Log, Registry: deps.Registry})
	if err != nil {
		return nil, err
	}
	o, err := operator.New(operator.Config{Kubernetes: kube, Namespace: cfg.Namespace, Names: cfg.Names, Replica: d.Holder},
		operator.Deps{Log: deps.Log, Health: deps.Health, Complete: cfg.judge})
	if err != nil {
		return nil, err
	}
	d.Owner, d.Changed, d.Leave = replica, o.Changed, o.Leave
	e, err := engine.New(d)
	if err != nil {
		return nil, err
	}
	return &Sentinel{parts: []service.Part{
		{Name: "shards", Run: e.Run},
		{Name: "replica", Run: replica.Run},
		{Name: "operator", Run: func(ctx context.Context) error { return o.Run(ctx, e) }},
	}}, nil
}

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

// Run runs every shard until ctx ends, then lets each finish and record what is
// in flight, and gives up what it shares. It returns within ten seconds of ctx's
// end; nil then, else what failed: a shard that could not start, unless
// Kubernetes can correct it.
func (s *Sentinel) Run(ctx context.Context) error { return service.Run(ctx, s.parts...) }
