package service

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
)

func get(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestAProcessIsReadyWhenEveryCheckPasses(t *testing.T) {
	t.Parallel()
	var away error
	health := NewHealth()
	health.Add("broker", func(context.Context) error { return nil })
	health.Add("database", func(context.Context) error { return away })
	admin := AdminHandler(health, prometheus.NewRegistry())

	if code, body := get(admin, "/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("all well: %d %q", code, body)
	}
	if _, body := get(admin, "/readyz?verbose"); body != "[+] broker: ok\n[+] database: ok\nready\n" {
		t.Errorf("all well, verbose: %q", body)
	}
	away = errors.New("connection refused")
	if code, body := get(admin, "/readyz"); code != 503 || body != "[-] database\nnot ready\n" {
		t.Errorf("database away: %d %q", code, body)
	}
	if _, body := get(admin, "/readyz?verbose"); !strings.Contains(body, "[-] database: connection refused\n") || !strings.Contains(body, "[+] broker") {
		t.Errorf("database away, verbose: %q", body)
	}
	if code, body := get(admin, "/livez"); code != 200 || body != "ok\n" {
		t.Errorf("livez: %d %q", code, body)
	}
}

func TestACheckThatHangsIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		health := NewHealth()
		health.Add("stuck", untilAsked)
		if code, _ := get(AdminHandler(health, prometheus.NewRegistry()), "/readyz"); code != 503 {
			t.Errorf("status %d", code)
		}
	})
}

func TestMetricsAreTheGivenRegistrysOnes(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "hyperfleet_test_total", Help: "A test."})
	registry.MustRegister(counter)
	counter.Inc()
	code, body := get(AdminHandler(NewHealth(), registry), "/metrics")
	if code != 200 || !strings.Contains(body, "hyperfleet_test_total 1") {
		t.Errorf("%d %s", code, body)
	}
}
