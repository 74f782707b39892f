package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/libs/fleet/openapi"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Deps is what the API works with. Nil fields: no log, metrics that nobody
// sees, no readiness check, a listener of its own.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Health   *service.Health
	Listener net.Listener
}

// API is one replica of the API.
type API struct {
	cfg      Config
	log      *slog.Logger
	listener net.Listener
	store    *postgres.Store
	gate     *auth.Gate
	handler  http.Handler
	metrics  *metrics
	upkeep   *upkeep
	ready    atomic.Bool
}

// New makes an API; it reaches for nothing yet.
func New(cfg Config, deps Deps) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Registry == nil {
		deps.Registry = prometheus.NewRegistry()
	}
	contract := openapi.API()
	schemas, err := schema.New(contract)
	if err != nil {
		return nil, err
	}
	store, err := openStore(cfg, deps.Log)
	if err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, log: deps.Log, listener: deps.Listener, store: store}
	requests, err := rest.NewMetrics(deps.Registry)
	if err == nil {
		a.metrics, err = newMetrics(deps.Registry, store, cfg.StuckAfter)
	}
	if err == nil {
		a.upkeep, err = newUpkeep(deps.Registry, store, cfg.Retention, deps.Log)
	}
	if err == nil {
		a.gate, err = auth.New(cfg.Auth, auth.Deps{Registry: deps.Registry, Log: deps.Log})
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	a.handler, err = rest.New(rest.Options{
		Store: store, Gate: a.gate, Schemas: schemas, Contract: contract, Metrics: requests, Log: deps.Log, Timeout: cfg.RequestTimeout,
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if deps.Health != nil {
		deps.Health.Add("database", a.check)
	}
	return a, nil
}

func openStore(cfg Config, log *slog.Logger) (*postgres.Store, error) {
	return postgres.Open(context.Background(), postgres.Config{
		URL: cfg.DatabaseURL.Reveal(), PasswordFile: cfg.PasswordFile, Pooler: cfg.Pooler, Role: cfg.Role,
		MaxConns: cfg.MaxConnections, Acquire: cfg.AcquireTimeout, ShardKey: cfg.ShardKey, Required: cfg.Required, Log: log,
	})
}

// check says whether requests can be served.
func (a *API) check(ctx context.Context) error {
	if !a.ready.Load() {
		return errors.New("not serving: the API is starting or stopping")
	}
	return a.store.Ping(ctx)
}

// Run waits for the database and its schema, or migrates it where that is
// configured, and serves until ctx ends; then it finishes the requests that run.
func (a *API) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.store.Close()) }()
	ln := a.listener
	if ln == nil { // before the database, so that a taken port is said at once
		var listen net.ListenConfig
		if ln, err = listen.Listen(ctx, "tcp", a.cfg.Listen); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	defer ln.Close() // Serve has closed it, unless it never ran
	prepare := a.store.Await
	if a.cfg.Migrate {
		prepare = a.store.Migrate
	}
	if err := reach(ctx, a.cfg.DatabaseWait, a.log, prepare); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while waiting
		}
		return err
	}
	a.ready.Store(true)
	context.AfterFunc(ctx, func() { a.ready.Store(false) })
	a.gate.Warn(ctx)
	a.log.InfoContext(ctx, "serving", "address", ln.Addr().String())
	return service.Run(ctx,
		service.Part{Name: "http", Run: func(ctx context.Context) error { return service.Serve(ctx, ln, a.handler, a.log) }},
		service.Part{Name: "counts", Run: func(ctx context.Context) error { return a.metrics.run(ctx, a.log) }},
		service.Part{Name: "upkeep", Run: a.upkeep.run},
	)
}
