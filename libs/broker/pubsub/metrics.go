package pubsub

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Reasons why the broker cannot be worked with, as metrics name them.
const (
	reasonUnreachable = "unreachable"
	reasonCredentials = "credentials"
	reasonTopology    = "topology"
	reasonLost        = "lost"
)

func reasonOf(err error) string {
	switch {
	case errors.As(err, new(credentialsError)):
		return reasonCredentials
	case errors.As(err, new(missingError)), errors.Is(err, broker.ErrUnroutable):
		return reasonTopology
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return reasonUnreachable
	case codes.Unauthenticated, codes.PermissionDenied:
		return reasonCredentials
	case codes.NotFound:
		return reasonTopology
	}
	return reasonLost
}

// meters are the driver's metrics. name is the topic of a publisher, the
// subscription of a subscriber.
type meters struct {
	connected *prometheus.GaugeVec
	pending   *prometheus.GaugeVec
	failures  *prometheus.CounterVec
}

func newMeters(reg prometheus.Registerer) (*meters, error) {
	labels := []string{"role", "name"}
	m := &meters{
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_connected", Help: "1 while the broker can be worked with.",
		}, labels),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_unconfirmed_events", Help: "Events handed to a publisher that the broker has not confirmed.",
		}, labels),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hyperfleet_broker_connection_failures_total", Help: "Connections that could not be made or were lost, by reason.",
		}, append(labels, "reason")),
	}
	return m, errors.Join(register(reg, &m.connected), register(reg, &m.pending), register(reg, &m.failures))
}

// register registers a collector, or takes the one that another driver on the
// same registry has registered.
func register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	if reg == nil {
		return nil
	}
	err := reg.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			*c = existing
			return nil
		}
	}
	return err
}
