package rabbitmq

import "errors"

// Reasons why there is no working connection, as metrics name them.
const (
	reasonConfiguration = "configuration"
	reasonUnreachable   = "unreachable"
	reasonCredentials   = "credentials"
	reasonTopology      = "topology"
	reasonLost          = "lost"
)

var reasons = []string{reasonConfiguration, reasonUnreachable, reasonCredentials, reasonTopology, reasonLost}

// fault is an error with the reason that a metric names.
type fault struct {
	reason string
	err    error
}

func failure(reason string, err error) error { return &fault{reason, err} }

func (f *fault) Error() string { return f.err.Error() }

func (f *fault) Unwrap() error { return f.err }

func reasonOf(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return f.reason
	}
	return reasonLost
}
