package auth

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count who was not admitted.
type metrics struct {
	failures *prometheus.CounterVec
	limited  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hyperfleet_api_auth_failures_total",
			Help: "Requests that were not admitted, by reason.",
		}, []string{"reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hyperfleet_api_rate_limited_total",
			Help: "Requests refused because their principal asked too often, by rate class.",
		}, []string{"class"}),
	}
	for _, why := range reasons {
		m.failures.WithLabelValues(string(why))
	}
	for _, class := range []string{People, Workloads} {
		m.limited.WithLabelValues(class)
	}
	for _, c := range []prometheus.Collector{m.failures, m.limited} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
