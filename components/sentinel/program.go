package sentinel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Process is what an operator sets for a sentinel that is a process of its own.
type Process struct {
	Config
	Brokers     broker.Settings
	Kubeconfig  string
	AdminListen string
	LogLevel    string
	LogFormat   string
}

// DefaultProcess returns the configuration of a process that was told nothing.
func DefaultProcess() Process {
	return Process{Config: DefaultConfig(), AdminListen: ":8081", LogLevel: "info", LogFormat: "json"}
}

// Declare adds every setting to a program. The file of the SentinelConfigs is
// not the one with settings.
func (p *Process) Declare(s *service.Settings) {
	f := s.Flags
	s.FileFlag = "settings-file"
	f.StringSliceVar(&p.Names, "config", p.Names, "names of the SentinelConfigs to run (default: all)")
	f.StringVar(&p.ConfigFile, "config-file", p.ConfigFile, "YAML file with SentinelConfigs (default: those of the namespace in Kubernetes)")
	f.StringVar(&p.Namespace, "namespace", p.Namespace, "namespace of the SentinelConfigs and Leases (default: the process's own)")
	f.StringVar(&p.Kubeconfig, "kubeconfig", p.Kubeconfig, "kubeconfig file for Kubernetes (default: KUBECONFIG, else the pod's service account)")
	f.DurationVar(&p.LeaseDuration, "lease-duration", p.LeaseDuration, "time after which another replica takes a silent one's shards")
	f.DurationVar(&p.LeaseRenewDeadline, "lease-renew-deadline", p.LeaseRenewDeadline, "time after which a replica that cannot renew a shard's Lease stops the shard")
	f.DurationVar(&p.LeaseRetryPeriod, "lease-retry-period", p.LeaseRetryPeriod, "time between two renewals of a Lease")
	f.StringVar(&p.APIURL, "api-url", p.APIURL, "the API, for SentinelConfigs without hyperfleetAPI")
	f.DurationVar(&p.APITimeout, "api-timeout", p.APITimeout, "time that one request to the API may take")
	f.StringVar(&p.TokenFile, "api-token-file", p.TokenFile, "file with the token for the API, read again when it changes")
	f.StringVar(&p.AdminListen, "admin-listen", p.AdminListen, "address of /livez, /readyz and /metrics")
	f.StringVar(&p.LogLevel, "log-level", p.LogLevel, "debug, info, warn or error")
	f.StringVar(&p.LogFormat, "log-format", p.LogFormat, "json or text")
	p.Brokers.Declare(f)
	s.Sections["broker"] = &p.Broker
}

// Validate names every problem of everything at once.
func (p Process) Validate() error {
	_, err := service.NewLogger(nil, p.LogLevel, p.LogFormat)
	return errors.Join(p.Config.Validate(), p.Brokers.Validate(), err)
}

// Kubernetes returns how to reach Kubernetes, and the namespace to watch; nil if
// the SentinelConfigs are in a file.
func (p Process) Kubernetes() (*rest.Config, string, error) {
	if !p.watches() {
		return nil, "", nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = p.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	kube, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find Kubernetes: %w; or name a file with SentinelConfigs: --config-file", err)
	}
	namespace := p.Namespace
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, "", fmt.Errorf("find the namespace: %w; set --namespace", err)
		}
	}
	return kube, namespace, nil
}

// UseLogger gives log to those libraries of Kubernetes that have one for the
// whole process: it is for a main alone.
func UseLogger(log *slog.Logger) {
	klog.SetSlogLogger(log)
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
}

// PublisherFrom makes the publishers of SentinelConfigs with the drivers that a
// program has.
func PublisherFrom(drivers *broker.Drivers) func(context.Context, v1alpha1.SentinelConfig) (broker.Publisher, error) {
	return func(ctx context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error) {
		b := c.Spec.Broker
		driver, err := drivers.Get(b.Type, b.SecretRef.Of())
		if err != nil {
			return nil, err
		}
		return driver.Publisher(ctx, broker.Route{ProjectID: b.ProjectID, Topic: b.Topic, Exchange: b.Exchange, RoutingKey: b.RoutingKey})
	}
}
