package shard

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Collectors are the metrics of all shards of a process.
type Collectors struct {
	registry      prometheus.Registerer
	pending       *prometheus.GaugeVec
	eventsCreated *prometheus.CounterVec
	publishErrors *prometheus.CounterVec
	pollErrors    *prometheus.CounterVec
	pollDuration  *prometheus.HistogramVec
	lastSuccess   *prometheus.GaugeVec
	unrecorded    *prometheus.GaugeVec
	uncovered     *prometheus.GaugeVec
	overlapping   *prometheus.GaugeVec
	vectors       []vector // all of them
}

// vector is a metric with a series for each shard.
type vector interface {
	prometheus.Collector
	DeletePartialMatch(labels prometheus.Labels) int
}

// NewCollectors registers the metrics of shards with r.
func NewCollectors(r prometheus.Registerer) (*Collectors, error) {
	labels := []string{"resource_type", "shard"}
	c := &Collectors{
		registry: r,
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_resources_pending",
			Help: "Resources that were due in the last poll and whose event is not published; " +
				"where the event budget leaves some, as the API's last coverage counts them; at least that many while the API does not answer."}, labels),
		eventsCreated: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hyperfleet_sentinel_events_created_total",
			Help: "Events that the broker confirmed."}, labels),
		publishErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hyperfleet_sentinel_publish_errors_total",
			Help: "Attempts to publish an event that failed."}, labels),
		pollErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hyperfleet_sentinel_poll_errors_total",
			Help: "Polls that failed: the API or the broker did."}, labels),
		pollDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hyperfleet_sentinel_poll_duration_seconds",
			Help:    "Time from asking what is due to the last confirmation.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, labels),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_last_successful_poll_timestamp_seconds",
			Help: "End of the last poll that did not fail; 0 if there was none."}, labels),
		unrecorded: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_unrecorded_publications",
			Help: "Confirmed events that the API has not recorded yet."}, labels),
		uncovered: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_uncovered_resources",
			Help: "Resources of the whole fleet, of this type, that no live shard matches, as of the API's last coverage; NaN while that is not known."}, labels),
		overlapping: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_overlapping_resources",
			Help: "Resources of the whole fleet, of this type, that several live shards match, as of the API's last coverage; NaN while that is not known."}, labels),
	}
	c.vectors = []vector{c.pending, c.eventsCreated, c.publishErrors, c.pollErrors, c.pollDuration, c.lastSuccess, c.unrecorded, c.uncovered, c.overlapping}
	var errs []error
	for _, v := range c.vectors {
		errs = append(errs, r.Register(v))
	}
	return c, errors.Join(errs...)
}

// Metrics are those of one shard.
type Metrics struct {
	pending, lastSuccess, unrecorded         prometheus.Gauge
	uncovered, overlapping                   prometheus.Gauge
	eventsCreated, publishErrors, pollErrors prometheus.Counter
	pollDuration                             prometheus.Observer
	labels                                   prometheus.Labels
	computed                                 []prometheus.Collector

	held         atomic.Bool // the API has the shard's registration
	unrecordable atomic.Bool // the API did not record when it was last asked to

	mu     sync.Mutex
	caught time.Time // begin of the last poll that left nothing due unpublished
}

// For makes every series of a shard, at zero.
func (c *Collectors) For(typ fleet.ResourceType, shard string) (*Metrics, error) {
	labels := prometheus.Labels{"resource_type": string(typ), "shard": shard}
	m := &Metrics{labels: labels,
		pending: c.pending.With(labels), lastSuccess: c.lastSuccess.With(labels), unrecorded: c.unrecorded.With(labels),
		eventsCreated: c.eventsCreated.With(labels), publishErrors: c.publishErrors.With(labels), pollErrors: c.pollErrors.With(labels),
		pollDuration: c.pollDuration.With(labels), uncovered: c.uncovered.With(labels), overlapping: c.overlapping.With(labels),
	}
	m.uncovered.Set(math.NaN())
	m.overlapping.Set(math.NaN())
	// Computed when read, so that the lag grows while polls fail or hang.
	m.computed = []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_due_lag_seconds",
			Help: "Upper bound of how long any due resource has been waiting for its event: the age of the last poll " +
				"after which nothing due was left.", ConstLabels: labels}, m.lag),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_registered",
			Help: "1 while the API has the shard's registration and records its publications, else 0.", ConstLabels: labels}, m.registered),
	}
	var errs []error
	for _, g := range m.computed {
		errs = append(errs, c.registry.Register(g))
	}
	return m, errors.Join(errs...)
}

// Forget removes every series of a shard that does not run any more.
func (c *Collectors) Forget(m *Metrics) {
	for _, v := range c.vectors {
		v.DeletePartialMatch(m.labels)
	}
	for _, g := range m.computed {
		c.registry.Unregister(g)
	}
}

func (m *Metrics) registered() float64 {
	if m.held.Load() && !m.unrecordable.Load() {
		return 1
	}
	return 0
}

func (m *Metrics) lag() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caught.IsZero() {
		return 0
	}
	return time.Since(m.caught).Seconds()
}

func (m *Metrics) started(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.caught = now
}

func (m *Metrics) polled(began, ended time.Time, err error, caughtUp bool) {
	m.pollDuration.Observe(ended.Sub(began).Seconds())
	if err != nil {
		m.pollErrors.Inc()
		return
	}
	m.lastSuccess.Set(float64(ended.UnixNano()) / 1e9)
	if caughtUp {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.caught = began
	}
}
