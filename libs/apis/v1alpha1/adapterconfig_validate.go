package v1alpha1

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Defaults of an AdapterConfig.
const (
	DefaultRetryLimit            = int32(3)
	DefaultRetryBackoff          = time.Minute
	DefaultMaxDeliveries         = int32(5)
	DefaultAPITimeout            = 10 * time.Second
	DefaultActiveDeadlineSeconds = int64(30 * 60)
	DefaultBackoffLimit          = int32(3)
	DefaultTTLSeconds            = int32(24 * 60 * 60)
)

// maxRetryBackoff is the longest that the API lets an adapter wait.
const maxRetryBackoff = 30 * 24 * time.Hour

// Defaults returns c with everything set that an operator may leave out, except
// what comes from the process's configuration: the API and the broker.
func (c AdapterConfig) Defaults() AdapterConfig {
	s := &c.Spec
	if len(s.ResourceTypes) == 0 {
		s.ResourceTypes = []string{"clusters"}
	}
	if s.HyperfleetAPI != nil {
		api := *s.HyperfleetAPI
		api.Timeout = orDuration(api.Timeout, DefaultAPITimeout)
		s.HyperfleetAPI = &api
	}
	if s.Broker != nil {
		b := s.Broker.Defaults(c.Name)
		s.Broker = &b
	}
	s.Retry.Limit = or(s.Retry.Limit, DefaultRetryLimit)
	s.Retry.Backoff = orDuration(s.Retry.Backoff, DefaultRetryBackoff)
	s.JobTemplate = s.JobTemplate.defaults()
	if s.Deletion != nil {
		s.Deletion = &Deletion{JobTemplate: s.Deletion.JobTemplate.defaults()}
	}
	return c
}

func or[T any](p *T, otherwise T) *T {
	if p != nil {
		return p
	}
	return &otherwise
}

func orDuration(p *metav1.Duration, otherwise time.Duration) *metav1.Duration {
	return or(p, metav1.Duration{Duration: otherwise})
}

// Validate returns one error that names every problem of c with its field
// path. It judges form only: whether expressions compile and resource types
// exist is known to the adapter.
func (c AdapterConfig) Validate() error {
	if err := c.problems().ToAggregate(); err != nil {
		return fmt.Errorf("AdapterConfig %q: %w", c.Name, err)
	}
	return nil
}

func (c AdapterConfig) problems() field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, configName(field.NewPath("metadata", "name"), c.Name)...)
	spec := field.NewPath("spec")
	errs = append(errs, dnsLabel(spec.Child("adapterType"), c.Spec.AdapterType)...)
	errs = append(errs, uniqueLabels(spec.Child("resourceTypes"), c.Spec.ResourceTypes)...)
	errs = append(errs, c.Spec.Criteria.validate(spec.Child("criteria"), c.Spec.AdapterType)...)
	if c.Spec.HyperfleetAPI != nil {
		errs = append(errs, c.Spec.HyperfleetAPI.validate(spec.Child("hyperfleetAPI"))...)
	}
	if c.Spec.Broker != nil {
		errs = append(errs, c.Spec.Broker.validate(spec.Child("broker"))...)
	}
	retry := spec.Child("retry")
	errs = append(errs, atLeast(retry.Child("limit"), c.Spec.Retry.Limit, 0)...)
	if b := c.Spec.Retry.Backoff; b != nil && (b.Duration <= 0 || b.Duration > maxRetryBackoff) {
		errs = append(errs, field.Invalid(retry.Child("backoff"), b.Duration.String(), fmt.Sprintf("must be longer than 0 and at most %s", maxRetryBackoff)))
	}
	if r := c.Spec.Recheck; r != nil {
		every := spec.Child("recheck", "every")
		if r.Every == nil {
			errs = append(errs, field.Required(every, "a time such as 24h"))
		}
		errs = append(errs, longerThan(every, r.Every, 0)...)
	}
	errs = append(errs, c.Spec.JobTemplate.validate(spec.Child("jobTemplate"))...)
	if d := c.Spec.Deletion; d != nil {
		errs = append(errs, d.JobTemplate.validate(spec.Child("deletion", "jobTemplate"))...)
	}
	return errs
}

func (c Criteria) validate(path *field.Path, self string) field.ErrorList {
	var errs field.ErrorList
	for i, p := range c.Preconditions {
		if strings.TrimSpace(p.Expression) == "" {
			errs = append(errs, field.Required(path.Child("preconditions").Index(i).Child("expression"), "a CEL expression"))
		}
	}
	errs = append(errs, uniqueLabels(path.Child("dependencies"), c.Dependencies)...)
	if i := slices.Index(c.Dependencies, self); i >= 0 && self != "" {
		errs = append(errs, field.Invalid(path.Child("dependencies").Index(i), self, "an adapter cannot depend on itself"))
	}
	return errs
}

func (a HyperfleetAPI) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	u, err := url.Parse(a.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		errs = append(errs, field.Invalid(path.Child("url"), a.URL, "must be an http or https URL with a host"))
	}
	if a.Timeout != nil && a.Timeout.Duration <= 0 {
		errs = append(errs, field.Invalid(path.Child("timeout"), a.Timeout.Duration.String(), "must be longer than 0"))
	}
	return errs
}

func dnsLabel(path *field.Path, value string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "a lower-case name such as dns")}
	}
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Label(value) {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

func uniqueLabels(path *field.Path, values []string) field.ErrorList {
	var errs field.ErrorList
	for i, v := range values {
		errs = append(errs, dnsLabel(path.Index(i), v)...)
		if slices.Contains(values[:i], v) {
			errs = append(errs, field.Duplicate(path.Index(i), v))
		}
	}
	return errs
}

func atLeast[T int32 | int64](path *field.Path, value *T, least T) field.ErrorList {
	if value == nil || *value >= least {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value, fmt.Sprintf("must be at least %d", least))}
}
