package health

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

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

// Meters are the metrics of everybody who works with a broker. Those of one role
// and name share a series: it says connected while all of them are, and is gone
// once none is left.
type Meters struct {
	failures *prometheus.CounterVec

	mu    sync.Mutex
	users map[*Health]struct{}
}

// who is what tells series apart.
type who struct{ role, name string }

var (
	labels    = []string{"role", "name"}
	connected = prometheus.NewDesc("hyperfleet_broker_connected", "1 while the broker can be worked with.", labels, nil)
	blocked   = prometheus.NewDesc("hyperfleet_broker_blocked", "1 while the broker takes no events, for want of memory, disk or quota.", labels, nil)
	pending   = prometheus.NewDesc("hyperfleet_broker_unconfirmed_events", "Events whose callers wait until the broker has confirmed them.", labels, nil)
)

// Register makes the metrics, or takes those that another driver has registered
// on the same registry. Without a registry nobody sees them.
func Register(reg prometheus.Registerer) (*Meters, error) {
	m := &Meters{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hyperfleet_broker_connection_failures_total", Help: "Connections that could not be made or were lost, by reason.",
		}, append(labels, "reason")),
		users: map[*Health]struct{}{},
	}
	if reg == nil {
		return m, nil
	}
	err := reg.Register(m)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(*Meters); ok {
			return existing, nil
		}
	}
	return m, err
}

// Describe names the metrics.
func (m *Meters) Describe(to chan<- *prometheus.Desc) {
	to <- connected
	to <- blocked
	to <- pending
	m.failures.Describe(to)
}

// Collect says how everybody stands.
func (m *Meters) Collect(to chan<- prometheus.Metric) {
	type stand struct{ connected, blocked, pending float64 }
	all := map[who]stand{}
	m.mu.Lock()
	users := slices.Collect(maps.Keys(m.users))
	m.mu.Unlock()
	for _, h := range users {
		up, block := h.stands()
		s, others := all[h.who]
		if !others {
			s.connected = 1
		}
		if !up {
			s.connected = 0
		}
		if block {
			s.blocked = 1
		}
		s.pending += float64(h.Pending.n.Load())
		all[h.who] = s
	}
	for w, s := range all {
		to <- prometheus.MustNewConstMetric(connected, prometheus.GaugeValue, s.connected, w.role, w.name)
		to <- prometheus.MustNewConstMetric(blocked, prometheus.GaugeValue, s.blocked, w.role, w.name)
		to <- prometheus.MustNewConstMetric(pending, prometheus.GaugeValue, s.pending, w.role, w.name)
	}
	m.failures.Collect(to)
}

// Of returns the health of one publisher or subscriber: its role, and the name
// of the topic, exchange or subscription that it works for.
func (m *Meters) Of(log *slog.Logger, role, name string) *Health {
	h := &Health{
		meters:   m,
		who:      who{role, name},
		log:      log.With("role", role, "name", name),
		failures: map[Reason]prometheus.Counter{},
	}
	for _, r := range reasons {
		h.failures[r] = m.failures.WithLabelValues(role, name, string(r))
	}
	m.enter(h)
	return h
}

func (m *Meters) enter(h *Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[h] = struct{}{}
}

func (m *Meters) leave(h *Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.users, h)
}
