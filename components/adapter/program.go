package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/operator"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Process is what an operator sets for an adapter that is a process of its own.
type Process struct {
	Config
	Brokers     broker.Settings
	DataDir     string // of Jobs that are run without Kubernetes
	Kubeconfig  string // "" = as kubectl finds it, or the pod's own account
	AdminListen string
	LogLevel    string
	LogFormat   string
}

// DefaultProcess returns what holds unless it is set.
func DefaultProcess() Process {
	p := Process{Config: DefaultConfig(), DataDir: "data", AdminListen: ":8081", LogLevel: "info", LogFormat: "json"}
	p.APIURL = "http://hyperfleet-api:8080"
	return p
}

// Declare adds every setting to a program. The file of the AdapterConfig is not
// the one with settings.
func (p *Process) Declare(s *service.Settings) {
	f := s.Flags
	s.FileFlag = "settings-file"
	f.StringVar(&p.Name, "config", p.Name, "name of the AdapterConfig, in Kubernetes or in the config file; needed unless that has only one")
	f.StringVar(&p.ConfigFile, "config-file", p.ConfigFile, "YAML file with the AdapterConfig, to run without Kubernetes")
	f.StringVar(&p.Namespace, "namespace", p.Namespace, "namespace of the AdapterConfig; one from a file may leave its own out")
	f.StringVar(&p.Region, "region", p.Region, "region or Kubernetes cluster that it runs in, as its registration says")
	f.StringVar(&p.APIURL, "api-url", p.APIURL, "the API, for an AdapterConfig without hyperfleetAPI")
	f.DurationVar(&p.APITimeout, "api-timeout", p.APITimeout, "time that one request to the API may take")
	f.StringVar(&p.TokenFile, "api-token-file", p.TokenFile, "file with the token for the API, read again when it changes")
	f.IntVar(&p.Concurrency, "concurrency", p.Concurrency, "events handled at once")
	f.StringVar(&p.DataDir, "data-dir", p.DataDir, "directory of the Jobs that are run without Kubernetes")
	f.StringVar(&p.Kubeconfig, "kubeconfig", p.Kubeconfig, "how to reach Kubernetes; default: $KUBECONFIG, the user's own, or the pod's account")
	f.StringVar(&p.AdminListen, "admin-listen", p.AdminListen, "address of /livez, /readyz and /metrics")
	f.StringVar(&p.LogLevel, "log-level", p.LogLevel, "debug, info, warn or error")
	f.StringVar(&p.LogFormat, "log-format", p.LogFormat, "json or text")
	p.Brokers.Declare(f)
	s.Sections["broker"] = &p.Broker
}

// Validate names every problem of p, those of its AdapterConfig included.
func (p Process) Validate() error {
	_, err := service.NewLogger(nil, p.LogLevel, p.LogFormat)
	return errors.Join(p.Config.Validate(), p.Brokers.Validate(), err)
}

// Work returns what the process does until the context of its run ends.
// deps.Runner is not used.
func (p Process) Work(deps Deps) (func(context.Context) error, error) {
	if p.Operated() {
		cluster, err := p.kubernetes()
		if err != nil {
			return nil, err
		}
		o, err := NewOperator(p.Config, cluster, deps)
		if err != nil {
			return nil, err
		}
		return o.Run, nil
	}
	runner, err := NewCommandRunner(p, deps.Log)
	if err != nil {
		return nil, err
	}
	deps.Runner = runner
	a, err := New(p.Config, deps)
	if err != nil {
		return nil, err
	}
	return a.Run, nil
}

// found is the configuration with the AdapterConfig that is in Kubernetes, if it is there.
func (p Process) found(ctx context.Context) (Config, error) {
	if !p.Operated() {
		return p.Config, nil
	}
	cluster, err := p.kubernetes()
	if err != nil {
		return Config{}, err
	}
	object, err := operator.New(cluster, p.Namespace, p.Name, slog.New(slog.DiscardHandler))
	if err != nil {
		return Config{}, err
	}
	cfg := p.Config
	cfg.Adapter, err = object.Get(ctx)
	return cfg, err
}

// kubernetes says how to reach it.
func (p Process) kubernetes() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = p.Kubeconfig
	cluster, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find Kubernetes: %w", err)
	}
	return cluster, nil
}

// subscription is the spec in the broker's terms.
func (s SubscriptionSpec) subscription() broker.Subscription {
	return broker.Subscription{Name: s.Subscription, Route: broker.Route{
		ProjectID: s.Broker.ProjectID, Topic: s.Topic, Exchange: s.Broker.Exchange, RoutingKey: s.Broker.RoutingKey,
	}}
}

// SubscriberFrom opens subscriptions with the drivers that a program has.
func SubscriberFrom(drivers *broker.Drivers) func(context.Context, SubscriptionSpec) (broker.Subscriber, error) {
	return func(ctx context.Context, s SubscriptionSpec) (broker.Subscriber, error) {
		driver, err := drivers.Get(s.Broker.Type, s.Broker.SecretRef.Of())
		if err != nil {
			return nil, err
		}
		return driver.Subscriber(ctx, s.subscription(), s.Limits)
	}
}

// DeadLettersFrom opens the dead letters of subscriptions likewise.
func DeadLettersFrom(drivers *broker.Drivers) func(context.Context, SubscriptionSpec) (broker.DeadLetters, error) {
	return func(ctx context.Context, s SubscriptionSpec) (broker.DeadLetters, error) {
		driver, err := drivers.Get(s.Broker.Type, s.Broker.SecretRef.Of())
		if err != nil {
			return nil, err
		}
		return driver.DeadLetters(ctx, s.subscription())
	}
}
