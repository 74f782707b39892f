package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// unmatched is the path of requests to no route; other, of no known method.
// Together they bound the label sets, whatever is asked.
const (
	unmatched = "unmatched"
	other     = "other"
)

// Metrics counts requests.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics registers the metrics of requests.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hyperfleet_api_requests_total",
			Help: "Requests answered, by method, route template and status.",
		}, []string{"method", "path", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hyperfleet_api_request_duration_seconds",
			Help:    "Seconds from a request's header to the end of its answer, by method and route template.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "path"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// announce makes the series that alerts need exist at zero: without a first
// value, the rate of a first error is nothing.
func (m *Metrics) announce(path string, methods []string) {
	for _, method := range methods {
		m.duration.WithLabelValues(method, path)
		for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
			m.requests.WithLabelValues(method, path, strconv.Itoa(status))
		}
	}
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

func (m *Metrics) observe(method, path string, status int, took time.Duration) {
	if !slices.Contains(methods, method) {
		method = other
	}
	m.requests.WithLabelValues(method, path, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(method, path).Observe(took.Seconds())
}
