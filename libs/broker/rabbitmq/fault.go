package rabbitmq

import (
	"errors"

	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// fault is an error with the reason that a metric names.
type fault struct {
	reason health.Reason
	err    error
}

func failure(reason health.Reason, err error) error { return &fault{reason, err} }

func (f *fault) Error() string { return f.err.Error() }

func (f *fault) Unwrap() error { return f.err }

func reasonOf(err error) health.Reason {
	var f *fault
	if errors.As(err, &f) {
		return f.reason
	}
	return health.Lost
}
