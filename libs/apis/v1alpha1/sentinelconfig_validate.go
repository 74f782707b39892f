package v1alpha1

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Defaults of a SentinelConfig.
const (
	DefaultBackoffNotReady = 10 * time.Second
	DefaultBackoffReady    = 30 * time.Minute
	DefaultPollInterval    = 5 * time.Second
)

// MinPollInterval is the shortest time between two polls that an operator may
// set: what is shorter is taken for a slip of the pen.
const MinPollInterval = 10 * time.Millisecond

// Defaults returns c with everything set that an operator may leave out, except
// what comes from the process's configuration: the API and the broker.
func (c SentinelConfig) Defaults() SentinelConfig {
	s := &c.Spec
	s.BackoffNotReady = orDuration(s.BackoffNotReady, DefaultBackoffNotReady)
	s.BackoffReady = orDuration(s.BackoffReady, DefaultBackoffReady)
	s.PollInterval = orDuration(s.PollInterval, DefaultPollInterval)
	if s.HyperfleetAPI != nil {
		api := *s.HyperfleetAPI
		api.Timeout = orDuration(api.Timeout, DefaultAPITimeout)
		s.HyperfleetAPI = &api
	}
	return c
}

// Selector returns the shard's selector. A missing one is an error, because it
// could mean everything as well as nothing.
func (c SentinelConfig) Selector() (labels.Selector, error) {
	if c.Spec.ShardSelector == nil {
		return nil, field.Required(field.NewPath("spec", "shardSelector"), "labels of the shard's resources; {} means everything")
	}
	return metav1.LabelSelectorAsSelector(c.Spec.ShardSelector)
}

// Validate returns one error that names every problem of c with its field
// path. It judges form only: whether the resource type exists is known to the
// sentinel.
func (c SentinelConfig) Validate() error {
	if err := c.problems().ToAggregate(); err != nil {
		return fmt.Errorf("SentinelConfig %q: %w", c.Name, err)
	}
	return nil
}

func (c SentinelConfig) problems() field.ErrorList {
	var (
		errs field.ErrorList
		spec = field.NewPath("spec")
	)
	errs = append(errs, configName(field.NewPath("metadata", "name"), c.Name)...)
	errs = append(errs, dnsLabel(spec.Child("resourceType"), c.Spec.ResourceType)...)
	if c.Spec.ShardSelector == nil {
		errs = append(errs, field.Required(spec.Child("shardSelector"), "labels of the shard's resources; {} means everything"))
	} else {
		errs = append(errs, metav1validation.ValidateLabelSelector(c.Spec.ShardSelector,
			metav1validation.LabelSelectorValidationOptions{}, spec.Child("shardSelector"))...)
	}
	errs = append(errs, longerThan(spec.Child("backoffNotReady"), c.Spec.BackoffNotReady, 0)...)
	errs = append(errs, longerThan(spec.Child("backoffReady"), c.Spec.BackoffReady, 0)...)
	errs = append(errs, longerThan(spec.Child("pollInterval"), c.Spec.PollInterval, MinPollInterval-1)...)
	errs = append(errs, atLeast(spec.Child("maxEventsPerSecond"), c.Spec.MaxEventsPerSecond, 1)...)
	if c.Spec.HyperfleetAPI != nil {
		errs = append(errs, c.Spec.HyperfleetAPI.validate(spec.Child("hyperfleetAPI"))...)
	}
	if c.Spec.Broker != nil {
		errs = append(errs, c.Spec.Broker.validate(spec.Child("broker"))...)
	}
	return errs
}

// configName allows what the Kubernetes API allows as the name of an object.
func configName(path *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "a lower-case name such as cluster-sentinel-us-east")}
	}
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(name) {
		errs = append(errs, field.Invalid(path, name, msg))
	}
	return errs
}

func longerThan(path *field.Path, d *metav1.Duration, least time.Duration) field.ErrorList {
	if d == nil || d.Duration > least {
		return nil
	}
	if least > 0 {
		return field.ErrorList{field.Invalid(path, d.Duration.String(), fmt.Sprintf("must be at least %s", least+1))}
	}
	return field.ErrorList{field.Invalid(path, d.Duration.String(), "must be longer than 0")}
}
