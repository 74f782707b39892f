package service

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds one readiness check, below the usual timeout of a probe.
const checkTimeout = 2 * time.Second

// Health gathers the checks that say whether a process is ready for work.
type Health struct {
	mu     sync.Mutex
	checks map[string]func(context.Context) error
}

// NewHealth returns a Health without checks, which is ready.
func NewHealth() *Health {
	return &Health{checks: map[string]func(context.Context) error{}}
}

// Add adds a check, or replaces the one of that name. The check must return when
// its context ends; its error is shown to whoever reaches the admin server.
func (h *Health) Add(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// Remove removes a check, if there is one of that name.
func (h *Health) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.checks, name)
}

// outcome is what one check said.
type outcome struct {
	name string
	err  error
}

// ask runs every check at once and returns what they said, by name.
func (h *Health) ask(ctx context.Context) []outcome {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	all := make(chan outcome, len(h.checks))
	n := len(h.checks)
	for name, check := range h.checks {
		go func() { all <- outcome{name, check(ctx)} }()
	}
	h.mu.Unlock()
	outcomes := make([]outcome, 0, n)
	for range n {
		outcomes = append(outcomes, <-all)
	}
	slices.SortFunc(outcomes, func(a, b outcome) int { return strings.Compare(a.name, b.name) })
	return outcomes
}

// AdminHandler serves what operators and Kubernetes ask a process:
//
//	/livez    200 while the process answers at all
//	/readyz   200 when every check passes, else 503; ?verbose says why
//	/metrics  what g gathers
func AdminHandler(h *Health, g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintln(w, "ok") // whoever asked has gone
	})
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return mux
}

func (h *Health) serveReady(w http.ResponseWriter, r *http.Request) {
	verbose := r.URL.Query().Has("verbose")
	status, text := http.StatusOK, &strings.Builder{}
	for _, o := range h.ask(r.Context()) {
		switch {
		case o.err != nil && verbose:
			fmt.Fprintf(text, "[-] %s: %v\n", o.name, o.err)
		case o.err != nil:
			fmt.Fprintf(text, "[-] %s\n", o.name)
		case verbose:
			fmt.Fprintf(text, "[+] %s: ok\n", o.name)
		}
		if o.err != nil {
			status = http.StatusServiceUnavailable
		}
	}
	if status == http.StatusOK {
		text.WriteString("ready\n")
	} else {
		text.WriteString("not ready\n")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String())) // whoever asked has gone
}
