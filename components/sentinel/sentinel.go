package sentinel

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/engine"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

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
	engine *engine.Engine
}

// New checks cfg and registers the metrics and the readiness check of each shard.
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
	e, err := engine.New(engine.Deps{
		Log: deps.Log, Registry: deps.Registry, Health: deps.Health, Transport: deps.Transport,
		Holder: me, Owner: engine.Alone{}, Publisher: deps.Publisher,
	})
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		if err := e.Set(c); err != nil {
			return nil, err
		}
	}
	return &Sentinel{engine: e}, nil
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
// in flight. It returns within ten seconds of ctx's end; nil then, else why a
// shard could not start.
func (s *Sentinel) Run(ctx context.Context) error { return s.engine.Run(ctx) }
