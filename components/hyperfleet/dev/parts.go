package dev

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/hyperfleet/hyperfleet/components/adapter"
	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/components/jobs"
	"github.com/hyperfleet/hyperfleet/components/sentinel"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// databaseWait is how long a database of the user's may take to answer: someone
// watches the terminal.
const databaseWait = 5 * time.Second

// requestTimeout bounds one request of a component to the API.
const requestTimeout = 10 * time.Second

var (
	//go:embed config/sentinels.yaml
	sentinelConfigs []byte
	//go:embed config/adapters.yaml
	adapterConfigs []byte
)

// run runs the parts until ctx ends or one fails. The workers stop first, and
// only then what they report to: API, then (in close) the database.
func (s *stack) run(ctx context.Context) error {
	server, err := s.newAPI()
	if err != nil {
		return err
	}
	workers, err := s.newWorkers()
	if err != nil {
		return err
	}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	parts := []service.Part{
		{Name: "api", Run: server.Run},
		{Name: "admin", Run: func(ctx context.Context) error {
			return service.Serve(ctx, s.admin, service.AdminHandler(s.health, s.registry), s.log)
		}},
		{Name: "workers", Run: func(serving context.Context) error {
			defer stopServing()
			working, stop := context.WithCancel(ctx)
			defer stop()
			defer context.AfterFunc(serving, stop)() // also when another part fails
			return s.work(working, workers)
		}},
	}
	if s.postgres != nil {
		parts = append(parts, service.Part{Name: "postgres", Run: s.watchPostgres})
	}
	return service.Run(serving, parts...)
}

// watchPostgres fails when the private PostgreSQL ends by itself.
func (s *stack) watchPostgres(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.postgres.Done():
		return fmt.Errorf("the private PostgreSQL ended: %w", s.postgres.Err())
	}
}

// work says that the stack is up once the API answers, and runs the workers.
func (s *stack) work(ctx context.Context, workers []service.Part) error {
	if err := s.welcome(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	return service.Run(ctx, workers...)
}

// unlessStopped returns err, or nil where a user's stop is the reason for it.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *stack) welcome(ctx context.Context) error {
	// Until it answers: how long it waits for its database is the API's own
	// decision, and what keeps it from serving is its own to say.
	err := retry.Do(ctx, retry.NewConstant(50*time.Millisecond), func(ctx context.Context) error {
		err := s.nameResources(ctx)
		if fleet.ErrorCode(err) == fleet.Unavailable {
			return retry.RetryableError(err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for the API: %w", err)
	}
	banner{
		apiURL:     s.baseURL,
		metricsURL: urlOf(s.admin) + "/metrics",
		psql:       s.psql(),
		dataDir:    s.dir.path,
		logFile:    s.logFile.Name(),
		token:      s.token,
		temporary:  s.dir.temporary,
	}.print(s.cfg.Out)
	if s.cfg.Demo {
		return createDemo(ctx, s.client)
	}
	return nil
}

// psql is the command that enters the database. The password of a database of
// the user's is not shown: dev.env has it.
func (s *stack) psql() string {
	if s.postgres == nil {
		return `psql "$DATABASE_URL"`
	}
	return "psql " + quote(s.databaseURL.Reveal())
}

// nameResources tells the timeline the names of what an earlier run made. The
// API's port is open before the API serves it, so its first answer also says
// that it is up.
func (s *stack) nameResources(ctx context.Context) error {
	for _, t := range fleet.Types() { // owners before what they own
		named := 0
		for r, err := range s.client.All(ctx, t.Type, client.ListOptions{}) {
			if err != nil {
				return err
			}
			s.timeline.Name(r.ID, r.OwnerID(), r.Name)
			if named++; named == maxNames {
				break
			}
		}
	}
	return nil
}

func (s *stack) newAPI() (*api.API, error) {
	cfg := api.DefaultConfig()
	cfg.DatabaseURL, cfg.DatabaseWait, cfg.Migrate = s.databaseURL, databaseWait, true
	adapters, _, err := configs()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range adapters {
		names = append(names, a.Spec.AdapterType)
	}
	s.issuer.trust(&cfg.Auth, names)
	if s.cfg.AuthMode == authOff {
		cfg.Auth = api.Auth{Mode: authOff}
	}
	return api.New(cfg, api.Deps{Log: s.log, Registry: s.registry, Health: s.health, Listener: s.api})
}

// configs are those of the adapters and of the sentinels.
func configs() ([]v1alpha1.AdapterConfig, []v1alpha1.SentinelConfig, error) {
	_, adapters, err := v1alpha1.Decode(bytes.NewReader(adapterConfigs))
	if err != nil {
		return nil, nil, fmt.Errorf("read the adapters' configuration: %w", err)
	}
	sentinels, _, err := v1alpha1.Decode(bytes.NewReader(sentinelConfigs))
	if err != nil {
		return nil, nil, fmt.Errorf("read the sentinels' configuration: %w", err)
	}
	return adapters, sentinels, nil
}

// newWorkers makes the sentinels and the adapters. The adapters come first:
// their subscriptions must exist before the first event.
func (s *stack) newWorkers() ([]service.Part, error) {
	adapters, sentinels, err := configs()
	if err != nil {
		return nil, err
	}
	var parts []service.Part
	runner := adapter.NewDirRunner(s.dir.join("jobs"), s.runJob, s.log)
	for _, cfg := range adapters {
		s.cfg.subscribeAt(&cfg)
		a, err := s.newAdapter(cfg, runner)
		if err != nil {
			return nil, err
		}
		parts = append(parts, service.Part{Name: cfg.Name, Run: a.Run})
	}
	for i := range sentinels {
		s.cfg.publishAt(&sentinels[i])
	}
	watcher, err := s.newSentinel(sentinels)
	if err != nil {
		return nil, err
	}
	return append(parts, service.Part{Name: "sentinel", Run: watcher.Run}), nil
}

// newAdapter makes one adapter and declares its subscriptions: an event that is
// published before the adapter listens must wait for it.
func (s *stack) newAdapter(cfg v1alpha1.AdapterConfig, runner adapter.Runner) (*adapter.Adapter, error) {
	c := adapter.DefaultConfig()
	c.Adapter, c.APIURL, c.Region = &cfg, s.baseURL, "dev"
	if err := c.Validate(); err != nil {
		return nil, err
	}
	name := cfg.Spec.AdapterType
	subscribe := adapter.SubscriberFrom(s.brokers)
	a, err := adapter.New(c, adapter.Deps{
		Log: s.log, Registry: s.registry, Health: s.health, Runner: runner,
		Subscriber: subscribe, DeadLetters: adapter.DeadLettersFrom(s.brokers),
		Transport: client.Bearer(s.transport, s.issuer.tokens("adapter-"+name, holder{Role: "adapter", Adapter: name})),
	})
	if err != nil {
		return nil, err
	}
	for _, spec := range a.Subscriptions() {
		if _, err := subscribe(context.Background(), spec); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (s *stack) newSentinel(configs []v1alpha1.SentinelConfig) (*sentinel.Sentinel, error) {
	c := sentinel.DefaultConfig()
	c.Sentinels, c.APIURL = configs, s.baseURL
	return sentinel.New(c, sentinel.Deps{
		Log: s.log, Registry: s.registry, Health: s.health,
		Transport: client.Bearer(s.transport, s.issuer.tokens("sentinel", holder{Role: "sentinel"})),
		Publisher: sentinel.PublisherFrom(s.brokers),
	})
}

// runJob runs an attempt's job in this process; its artefacts go to one
// directory, as if for review before they are applied.
func (s *stack) runJob(ctx context.Context, job adapter.DirJob) (adapter.Result, error) {
	result, err := jobs.Run(ctx, job.Adapter, jobs.Input{
		Cluster: job.Cluster, NodePool: job.NodePool, Dependencies: job.Dependencies,
		Generation: job.Generation, Attempt: job.Attempt, Mode: job.Mode,
		Config: jobs.DefaultConfig(s.dir.join("artifacts")), Log: job.Log,
	})
	if err != nil {
		return adapter.Result{}, err
	}
	return adapter.Result{Message: result.Message, Data: result.Data}, nil
}
