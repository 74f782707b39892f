package v1alpha1

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// reserved are the environment variables that every Job gets from its adapter.
var reserved = []string{"CLUSTER_ID", "RESOURCE_TYPE", "RESOURCE_ID", "HYPERFLEET_API", "GENERATION", "ATTEMPT", "ADAPTER", "MODE"}

func (t JobTemplate) defaults() JobTemplate {
	t.ActiveDeadlineSeconds = or(t.ActiveDeadlineSeconds, DefaultActiveDeadlineSeconds)
	t.BackoffLimit = or(t.BackoffLimit, DefaultBackoffLimit)
	t.TTLSecondsAfterFinished = or(t.TTLSecondsAfterFinished, DefaultTTLSeconds)
	return t
}

func (t JobTemplate) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.TrimSpace(t.Image) == "" {
		errs = append(errs, field.Required(path.Child("image"), "the image that the Job runs"))
	}
	errs = append(errs, environment(path.Child("env"), t.Env)...)
	seen := map[string]bool{}
	for i, s := range t.Secrets {
		for _, msg := range validation.IsDNS1123Subdomain(s) {
			errs = append(errs, field.Invalid(path.Child("secrets").Index(i), s, msg))
		}
		if seen[s] {
			errs = append(errs, field.Duplicate(path.Child("secrets").Index(i), s))
		}
		seen[s] = true
	}
	for name, limit := range t.Resources.Limits {
		if request, ok := t.Resources.Requests[name]; ok && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(path.Child("resources", "requests").Key(string(name)), request.String(),
				"must not be above the limit "+limit.String()))
		}
	}
	if t.ServiceAccountName != "" {
		for _, msg := range validation.IsDNS1123Subdomain(t.ServiceAccountName) {
			errs = append(errs, field.Invalid(path.Child("serviceAccountName"), t.ServiceAccountName, msg))
		}
	}
	errs = append(errs, atLeast(path.Child("activeDeadlineSeconds"), t.ActiveDeadlineSeconds, 1)...)
	errs = append(errs, atLeast(path.Child("backoffLimit"), t.BackoffLimit, 0)...)
	errs = append(errs, atLeast(path.Child("ttlSecondsAfterFinished"), t.TTLSecondsAfterFinished, 0)...)
	return errs
}

func environment(path *field.Path, env []corev1.EnvVar) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, e := range env {
		name := path.Index(i).Child("name")
		for _, msg := range validation.IsEnvVarName(e.Name) {
			errs = append(errs, field.Invalid(name, e.Name, msg))
		}
		if slices.Contains(reserved, e.Name) {
			errs = append(errs, field.Invalid(name, e.Name, "is set by the adapter"))
		}
		if seen[e.Name] {
			errs = append(errs, field.Duplicate(name, e.Name))
		}
		seen[e.Name] = true
	}
	return errs
}
