package sentinel

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/ownership"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Config is what an operator sets.
type Config struct {
	// ConfigFile holds SentinelConfigs as YAML documents. Other kinds of this
	// group in it are passed over. "" = those of Namespace in Kubernetes, unless
	// there are Sentinels.
	ConfigFile string
	// Sentinels are given directly, beside or instead of the file.
	Sentinels []v1alpha1.SentinelConfig
	// Names limits the process to these SentinelConfigs; none means all.
	Names []string
	// Namespace of the SentinelConfigs in Kubernetes, and of the Leases.
	Namespace string
	// LeaseDuration, LeaseRenewDeadline and LeaseRetryPeriod are how long a
	// replica has a shard; all replicas need the same.
	LeaseDuration, LeaseRenewDeadline, LeaseRetryPeriod time.Duration
	// APIURL and APITimeout are for SentinelConfigs without hyperfleetAPI.
	APIURL     string
	APITimeout time.Duration
	// TokenFile has the bearer token for the API; it may change at any time.
	// "" = none is sent, unless Deps.Transport does.
	TokenFile string
	// Broker is for SentinelConfigs without broker; nil means that they need one.
	Broker *v1alpha1.PublisherBroker
}

// DefaultConfig returns the configuration of a process that was told nothing.
func DefaultConfig() Config {
	t := ownership.DefaultTiming()
	return Config{APIURL: "http://hyperfleet-api:8080", APITimeout: v1alpha1.DefaultAPITimeout,
		LeaseDuration: t.LeaseDuration, LeaseRenewDeadline: t.RenewDeadline, LeaseRetryPeriod: t.RetryPeriod}
}

// Validate reads the file, if there is one, and names every problem of
// everything at once.
func (c Config) Validate() error {
	_, err := c.sentinels()
	return err
}

// watches says whether the SentinelConfigs are those of Kubernetes.
func (c Config) watches() bool { return c.ConfigFile == "" && len(c.Sentinels) == 0 }

func (c Config) timing() ownership.Timing {
	return ownership.Timing{LeaseDuration: c.LeaseDuration, RenewDeadline: c.LeaseRenewDeadline, RetryPeriod: c.LeaseRetryPeriod}
}

// sentinels returns every SentinelConfig that this process is told of directly,
// complete: its own settings, then the process's, then the defaults.
func (c Config) sentinels() ([]v1alpha1.SentinelConfig, error) {
	var errs []error
	all := slices.Clone(c.Sentinels)
	complete := true // nothing of the file was left out
	if c.ConfigFile != "" {
		read, err := load(c.ConfigFile)
		if err != nil {
			errs, complete = append(errs, err), false
		}
		all = append(all, read...)
	}
	if c.APITimeout < 0 {
		errs = append(errs, fmt.Errorf("API timeout %s: must not be negative", c.APITimeout))
	}
	if c.Broker != nil {
		if err := c.Broker.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("the process's broker: %w", err))
		}
	}
	if c.watches() {
		return nil, errors.Join(append(errs, c.timing().Validate())...)
	}
	seen := map[string]bool{}
	var out []v1alpha1.SentinelConfig
	for _, s := range all {
		if seen[s.Name] {
			errs = append(errs, fmt.Errorf("SentinelConfig %q: there are two of that name", s.Name))
		}
		seen[s.Name] = true
		if len(c.Names) > 0 && !slices.Contains(c.Names, s.Name) {
			continue
		}
		s, err := c.judge(s)
		errs = append(errs, err)
		out = append(out, s)
	}
	for _, name := range c.Names {
		if !seen[name] && complete {
			errs = append(errs, fmt.Errorf("SentinelConfig %q: not found", name))
		}
	}
	if len(all) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("no SentinelConfig in %s", c.ConfigFile))
	}
	return out, errors.Join(errs...)
}

// load returns what could be read, with what could not as its error.
func load(file string) ([]v1alpha1.SentinelConfig, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open the configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	sentinels, _, err := v1alpha1.Decode(f)
	if err != nil {
		return sentinels, fmt.Errorf("read %s: %w", file, err)
	}
	return sentinels, nil
}

// judge completes a SentinelConfig and names what is wrong with the whole.
func (c Config) judge(s v1alpha1.SentinelConfig) (v1alpha1.SentinelConfig, error) {
	s = c.complete(s)
	return s, errors.Join(s.Validate(), known(s))
}

// complete fills in what s leaves to the process, and the defaults.
func (c Config) complete(s v1alpha1.SentinelConfig) v1alpha1.SentinelConfig {
	if s.Spec.HyperfleetAPI == nil {
		s.Spec.HyperfleetAPI = &v1alpha1.HyperfleetAPI{URL: c.APIURL}
		if c.APITimeout > 0 {
			s.Spec.HyperfleetAPI.Timeout = &metav1.Duration{Duration: c.APITimeout}
		}
	}
	if s.Spec.Broker == nil && c.Broker != nil {
		b := *c.Broker
		s.Spec.Broker = &b
	}
	if b := s.Spec.Broker; b != nil && b.Topic == "" && b.Type != broker.TypeRabbitMQ {
		info, _ := fleet.ResourceType(s.Spec.ResourceType).Info()
		withTopic := *b
		withTopic.Topic = info.Topic
		s.Spec.Broker = &withTopic
	}
	return s.Defaults()
}

// known names what only the sentinel can judge of a SentinelConfig.
func known(s v1alpha1.SentinelConfig) error {
	var errs []error
	if _, ok := fleet.ResourceType(s.Spec.ResourceType).Info(); !ok && s.Spec.ResourceType != "" {
		var types []string
		for _, info := range fleet.Types() {
			types = append(types, string(info.Type))
		}
		errs = append(errs, fmt.Errorf("SentinelConfig %q: spec.resourceType: unknown type %q; there is %s",
			s.Name, s.Spec.ResourceType, strings.Join(types, ", ")))
	}
	if s.Spec.Broker == nil {
		errs = append(errs, fmt.Errorf("SentinelConfig %q: spec.broker: set it, or set the process's broker", s.Name))
	}
	return errors.Join(errs...)
}
