package adapter

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// Config is what an operator sets for the process of an adapter.
type Config struct {
	// ConfigFile is the YAML file of the AdapterConfig; "" = it is in Kubernetes.
	ConfigFile string
	// Name of the AdapterConfig in ConfigFile, where it is needed when that has
	// several, or in Kubernetes.
	Name string
	// Adapter is used instead of ConfigFile.
	Adapter *v1alpha1.AdapterConfig
	// APIURL is the API of an AdapterConfig that names none.
	APIURL string
	// APITimeout bounds one request to it.
	APITimeout time.Duration
	// TokenFile has the bearer token for the API; it may change at any time.
	// "" = none is sent, unless Deps.Transport does.
	TokenFile string
	// Region, or the Kubernetes cluster, that the process runs in: a part of
	// the name under which it registers.
	Region string
	// Namespace of an AdapterConfig that names none.
	Namespace string
	// Broker of an AdapterConfig that names none.
	Broker *v1alpha1.SubscriberBroker
	// Concurrency is how many events are handled at once.
	Concurrency int
}

var regionForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// DefaultConfig returns what holds unless it is set.
func DefaultConfig() Config {
	return Config{APITimeout: v1alpha1.DefaultAPITimeout, Region: "default", Namespace: "default", Concurrency: 16}
}

// Operated says whether the AdapterConfig is in Kubernetes.
func (c Config) Operated() bool { return c.Adapter == nil && c.ConfigFile == "" && c.Name != "" }

// Validate names every problem of c, those of its AdapterConfig included unless
// that is in Kubernetes.
func (c Config) Validate() error {
	if c.Operated() {
		return errors.Join(c.problems()...)
	}
	a, invalid := c.resolve()
	_, err := compile(a)
	return errors.Join(invalid, err)
}

// problems of what is set for the process.
func (c Config) problems() []error {
	var problems []error
	if c.APITimeout <= 0 {
		problems = append(problems, fmt.Errorf("API timeout %s: must be longer than 0", c.APITimeout))
	}
	if c.Concurrency < 1 {
		problems = append(problems, fmt.Errorf("concurrency %d: must be at least 1", c.Concurrency))
	}
	if !regionForm.MatchString(c.Region) {
		problems = append(problems, fmt.Errorf("region %q: must be 1 to 63 lower-case letters, digits and '-', such as us-east", c.Region))
	}
	if c.Broker != nil {
		if err := c.Broker.Validate(); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// resolve returns the AdapterConfig with everything set that it runs with.
func (c Config) resolve() (v1alpha1.AdapterConfig, error) {
	problems := c.problems()
	written, err := c.load()
	problems = append(problems, err)
	if written == nil {
		return v1alpha1.AdapterConfig{}, errors.Join(problems...)
	}
	a := *written
	if err := a.Validate(); err != nil {
		problems = append(problems, err)
	}
	a = c.complete(a)
	for i, name := range a.Spec.ResourceTypes {
		if _, known := fleet.ResourceType(name).Info(); !known {
			problems = append(problems, fmt.Errorf("AdapterConfig %q: spec.resourceTypes[%d]: there is no resource type %q", a.Name, i, name))
		}
		if b := a.Spec.Broker; b != nil && b.Type == broker.TypeRabbitMQ && name != string(fleet.Clusters) && *b == ofType(*b, fleet.ResourceType(name)) {
			problems = append(problems, fmt.Errorf("AdapterConfig %q: spec.broker: exchange or routingKey must name clusters, for which %s is put when it subscribes to those", a.Name, name))
		}
	}
	if a.Spec.HyperfleetAPI.URL == "" {
		problems = append(problems, fmt.Errorf("AdapterConfig %q: spec.hyperfleetAPI.url: set it, or the process's API URL", a.Name))
	} else if _, err := client.New(a.Spec.HyperfleetAPI.URL, nil, 0); err != nil {
		problems = append(problems, err)
	}
	if a.Spec.Broker == nil {
		problems = append(problems, fmt.Errorf("AdapterConfig %q: spec.broker: set it, or the process's broker", a.Name))
	}
	return a, errors.Join(problems...)
}

// complete fills in a what comes from the process, then the defaults.
func (c Config) complete(a v1alpha1.AdapterConfig) v1alpha1.AdapterConfig {
	if a.Spec.HyperfleetAPI == nil {
		a.Spec.HyperfleetAPI = &v1alpha1.HyperfleetAPI{URL: c.APIURL}
		a.Spec.HyperfleetAPI.Timeout = &metav1.Duration{Duration: c.APITimeout}
	}
	if a.Spec.Broker == nil && c.Broker != nil {
		b := *c.Broker
		a.Spec.Broker = &b
	}
	a.Namespace = cmp.Or(a.Namespace, c.Namespace)
	return a.Defaults()
}

// load returns the AdapterConfig as written, also with an error about its file if
// it could be read; nil if not.
func (c Config) load() (*v1alpha1.AdapterConfig, error) {
	switch {
	case c.Adapter != nil && c.ConfigFile != "":
		return nil, errors.New("adapter: give a config file or an AdapterConfig, not both")
	case c.Adapter != nil:
		return c.Adapter, nil
	case c.ConfigFile == "":
		return nil, errors.New("adapter: give the name of an AdapterConfig in Kubernetes, or a config file with one")
	}
	f, err := os.Open(c.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("open config file: %w", err)
	}
	defer f.Close()
	_, adapters, err := v1alpha1.Decode(f)
	if err != nil {
		err = fmt.Errorf("config file %s: %w", c.ConfigFile, err)
	}
	var names []string
	for _, a := range adapters {
		if a.Name == c.Name || c.Name == "" && len(adapters) == 1 {
			return &a, err
		}
		names = append(names, a.Name)
	}
	if err != nil {
		return nil, err
	}
	if c.Name == "" && len(names) > 1 {
		return nil, fmt.Errorf("config file %s: has the AdapterConfigs %q; say which one to run", c.ConfigFile, names)
	}
	return nil, fmt.Errorf("config file %s: has no AdapterConfig %q, only %q", c.ConfigFile, c.Name, names)
}
