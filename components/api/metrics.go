package api

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// countEvery is how often resources are counted: one index-only aggregate.
const countEvery = 30 * time.Second

// counter is what the metrics ask the store.
type counter interface {
	CountByPhase(ctx context.Context, t fleet.TypeInfo, stuckAfter time.Duration) (map[fleet.Phase]schedule.Count, error)
	Version(ctx context.Context) (int64, error)
	Stats() map[string]sql.DBStats
}

// metrics are those that no request moves.
type metrics struct {
	store      counter
	stuckAfter time.Duration
	phases     map[fleet.ResourceType]*prometheus.GaugeVec
	stuck      *prometheus.GaugeVec
	version    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, store counter, stuckAfter time.Duration) (*metrics, error) {
	m := &metrics{
		store: store, stuckAfter: stuckAfter, phases: map[fleet.ResourceType]*prometheus.GaugeVec{},
		stuck: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_api_resources_stuck",
			Help: "Resources in the schedule that are not Ready and of which no adapter has reported for longer than stuck-after, as of the last count.",
		}, []string{"resource_type", "phase"}),
		version: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hyperfleet_api_schema_version",
			Help: "Newest migration of the database; 0 until it was read.",
		}),
	}
	collectors := []prometheus.Collector{m.version, m.stuck, poolCollector(store)}
	for _, t := range fleet.Types() {
		gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperfleet_api_" + string(t.Type) + "_total",
			Help: "Number of " + string(t.Type) + " by phase, as of the last count; deleted ones are counted nowhere.",
		}, []string{"phase"})
		for _, p := range fleet.Phases() {
			if p != fleet.Deleted {
				gauge.WithLabelValues(string(p))
				m.stuck.WithLabelValues(string(t.Type), string(p))
			}
		}
		m.phases[t.Type] = gauge
		collectors = append(collectors, gauge)
	}
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// run counts now and then until ctx ends.
func (m *metrics) run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		if err := m.count(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "count resources", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *metrics) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, countEvery)
	defer cancel()
	version, err := m.store.Version(ctx)
	if err != nil {
		return err
	}
	m.version.Set(float64(version))
	for _, t := range fleet.Types() {
		counts, err := m.store.CountByPhase(ctx, t, m.stuckAfter)
		if err != nil {
			return err
		}
		for phase, n := range counts {
			m.phases[t.Type].WithLabelValues(string(phase)).Set(float64(n.All))
			m.stuck.WithLabelValues(string(t.Type), string(phase)).Set(float64(n.Stuck))
		}
	}
	return nil
}

// pool reads the state of the connections when it is asked.
type pool struct {
	store  counter
	values []poolValue
}

type poolValue struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(sql.DBStats) float64
}

func poolCollector(store counter) *pool {
	value := func(name, help string, kind prometheus.ValueType, of func(sql.DBStats) float64) poolValue {
		return poolValue{prometheus.NewDesc("hyperfleet_api_pool_"+name, help, []string{"pool"}, nil), kind, of}
	}
	return &pool{store, []poolValue{
		value("connections_max", "Most connections to the database.", prometheus.GaugeValue, func(s sql.DBStats) float64 { return float64(s.MaxOpenConnections) }),
		value("connections_open", "Open connections to the database.", prometheus.GaugeValue, func(s sql.DBStats) float64 { return float64(s.OpenConnections) }),
		value("connections_in_use", "Connections that do something.", prometheus.GaugeValue, func(s sql.DBStats) float64 { return float64(s.InUse) }),
		value("waits_total", "Times that a request had to wait for a connection.", prometheus.CounterValue, func(s sql.DBStats) float64 { return float64(s.WaitCount) }),
		value("wait_seconds_total", "Seconds that requests waited for a connection.", prometheus.CounterValue, func(s sql.DBStats) float64 { return s.WaitDuration.Seconds() }),
	}}
}

func (p *pool) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range p.values {
		ch <- v.desc
	}
}

func (p *pool) Collect(ch chan<- prometheus.Metric) {
	for name, stats := range p.store.Stats() {
		for _, v := range p.values {
			ch <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(stats), name)
		}
	}
}
