package rabbitmq

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// meters are the driver's metrics. name is the exchange of a publisher, the
// queue of a subscriber.
type meters struct {
	connected *prometheus.GaugeVec
	blocked   *prometheus.GaugeVec
	pending   *prometheus.GaugeVec
	failures  *prometheus.CounterVec
}

func newMeters(reg prometheus.Registerer) (*meters, error) {
	labels := []string{"role", "name"}
	m := &meters{
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_connected", Help: "1 while the broker can be worked with.",
		}, labels),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_blocked", Help: "1 while the broker takes no events, for want of memory or disk.",
		}, labels),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_unconfirmed_events", Help: "Events handed to a publisher that the broker has not confirmed.",
		}, labels),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hyperfleet_broker_connection_failures_total", Help: "Connections that could not be made or were lost, by reason.",
		}, append(labels, "reason")),
	}
	return m, errors.Join(
		register(reg, &m.connected), register(reg, &m.blocked), register(reg, &m.pending), register(reg, &m.failures))
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

// meter is the meters of one publisher or subscriber.
type meter struct {
	connected, blocked, pending prometheus.Gauge
	failures                    map[string]prometheus.Counter
}

// of returns the metrics of one publisher or subscriber, at zero.
func (m *meters) of(role, name string) meter {
	one := meter{
		connected: m.connected.WithLabelValues(role, name),
		blocked:   m.blocked.WithLabelValues(role, name),
		pending:   m.pending.WithLabelValues(role, name),
		failures:  map[string]prometheus.Counter{},
	}
	for _, r := range reasons {
		one.failures[r] = m.failures.WithLabelValues(role, name, r)
	}
	return one
}
