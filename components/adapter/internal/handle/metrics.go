package handle

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of one adapter. Names and the labels adapter and result are public.
type Metrics struct {
	consumed prometheus.Counter
	created  prometheus.Counter
	duration *prometheus.HistogramVec
	unmet    prometheus.Counter
	retries  prometheus.Counter
	refused  *prometheus.CounterVec
	reported prometheus.Gauge
}

// NewMetrics registers the metrics of the named adapter, unless that was done
// before. inFlight counts its Jobs.
func NewMetrics(r prometheus.Registerer, adapter string, inFlight func() int) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "hyperfleet_adapter_" + name, Help: help})
	}
	m := &Metrics{
		consumed: counter("events_consumed_total", "Events received."),
		created:  counter("jobs_created_total", "Jobs created; one that existed already does not count."),
		unmet:    counter("preconditions_unmet_total", "Events on which the adapter could not start yet."),
		retries:  counter("retries_total", "Attempts started after a failed one."),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hyperfleet_adapter_job_duration_seconds", Help: "Time from the start to the end of a Job.",
			Buckets: []float64{.01, .1, .5, 1, 5, 15, 60, 300, 900, 1800, 3600},
		}, []string{"result"}),
		reported: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hyperfleet_adapter_last_report_timestamp_seconds", Help: "When the API last stored a report of the adapter.",
		}),
	}
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hyperfleet_adapter_jobs_not_created_total", Help: "Jobs that could not be made, by why.",
	}, []string{"reason"})
	for _, reason := range reasons() {
		m.refused.WithLabelValues(reason)
	}
	for _, result := range []string{"succeeded", "failed"} { // an alert needs both from the start
		m.duration.WithLabelValues(result)
	}
	var flight prometheus.Collector = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hyperfleet_adapter_jobs_in_flight", Help: "Jobs whose end is not stored yet.",
	}, func() float64 { return float64(inFlight()) })
	r = prometheus.WrapRegistererWith(prometheus.Labels{"adapter": adapter}, r)
	if err := errors.Join(keep(r, &m.consumed), keep(r, &m.created), keep(r, &m.unmet), keep(r, &m.retries),
		keep(r, &m.refused), keep(r, &m.duration), keep(r, &m.reported), keep(r, &flight)); err != nil {
		return nil, fmt.Errorf("register metrics of adapter %s: %w", adapter, err)
	}
	return m, nil
}

// keep registers a metric, or takes the one that an earlier configuration of the
// adapter has registered: it counts on.
func keep[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	err := r.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		was, ok := already.ExistingCollector.(C)
		if !ok {
			return err
		}
		*c = was
		return nil
	}
	return err
}
