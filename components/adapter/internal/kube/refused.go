package kube

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// told says in jobspec's terms why Kubernetes did not do what it was asked for.
// What it does not know is left as it is: then Kubernetes is away.
func told(what string, err error) error {
	if why := reason(err); why != nil {
		return fmt.Errorf("%w: %w", why, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// reason is the one of jobspec's errors that err is, nil if none.
func reason(err error) error {
	known := []error{jobspec.ErrForeign, jobspec.ErrLeaving}
	switch i := slices.IndexFunc(known, func(k error) bool { return errors.Is(err, k) }); {
	case i >= 0:
		return nil // it says so itself
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return jobspec.ErrInvalid
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		return jobspec.ErrNamespace
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"): // it has no reason of its own
		return jobspec.ErrQuota
	case apierrors.IsForbidden(err):
		return jobspec.ErrForbidden
	case apierrors.IsTooManyRequests(err):
		return jobspec.ErrThrottled
	}
	return nil
}
