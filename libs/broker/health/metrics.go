package health

import (
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Reason is why a broker cannot be worked with, as metrics name it.
type Reason string

// Reasons.
const (
	Configuration Reason = "configuration" // of this process
	Unreachable   Reason = "unreachable"
	Credentials   Reason = "credentials" // or permissions
	Topology      Reason = "topology"    // what should exist does not, or otherwise
	Lost          Reason = "lost"        // a connection, or anything else
)

var reasons = []Reason{Configuration, Unreachable, Credentials, Topology, Lost}

// Meters are a driver's metrics.
type Meters struct {
	connected, blocked, pending *prometheus.GaugeVec
	failures                    *prometheus.CounterVec
}

// Register makes the metrics, or takes those that another driver on the same
// registry has registered. Without a registry nobody sees them.
func Register(reg prometheus.Registerer) (*Meters, error) {
	labels := []string{"role", "name"}
	m := &Meters{
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_connected", Help: "1 while the broker can be worked with.",
		}, labels),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_broker_blocked", Help: "1 while the broker takes no events, for want of memory, disk or quota.",
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

// Of returns the health of one publisher or subscriber: its role, and the name
// of the topic, exchange or subscription that it works for.
func (m *Meters) Of(log *slog.Logger, role, name string) *Health {
	h := &Health{
		Pending:   m.pending.WithLabelValues(role, name),
		log:       log.With("role", role, "name", name),
		connected: m.connected.WithLabelValues(role, name),
		blocking:  m.blocked.WithLabelValues(role, name),
		failures:  map[Reason]prometheus.Counter{},
	}
	for _, r := range reasons {
		h.failures[r] = m.failures.WithLabelValues(role, name, string(r))
	}
	return h
}
