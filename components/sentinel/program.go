package sentinel

import (
	"context"
	"errors"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Process is what an operator sets for a sentinel that is a process of its own.
type Process struct {
	Config
	Brokers     broker.Settings
	AdminListen string
	Namespace   string
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
	f.StringVar(&p.ConfigFile, "config-file", p.ConfigFile, "YAML file with SentinelConfigs")
	f.StringVar(&p.Namespace, "namespace", p.Namespace, "namespace of the SentinelConfigs; those of a file may leave theirs out")
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

// PublisherFrom makes the publishers of SentinelConfigs with the drivers that a
// program has.
func PublisherFrom(drivers *broker.Drivers) func(context.Context, v1alpha1.SentinelConfig) (broker.Publisher, error) {
	return func(ctx context.Context, c v1alpha1.SentinelConfig) (broker.Publisher, error) {
		b := c.Spec.Broker
		driver, err := drivers.Get(b.Type)
		if err != nil {
			return nil, err
		}
		return driver.Publisher(ctx, broker.Route{ProjectID: b.ProjectID, Topic: b.Topic, Exchange: b.Exchange, RoutingKey: b.RoutingKey})
	}
}
