package health

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newHealth(t *testing.T) (h *Health, said *bytes.Buffer, reg *prometheus.Registry) {
	t.Helper()
	said, reg = &bytes.Buffer{}, prometheus.NewRegistry()
	m, err := Register(reg)
	if err != nil {
		t.Fatal(err)
	}
	return m.Of(slog.New(slog.NewTextHandler(said, nil)), "publisher", "events"), said, reg
}

func problem(port, why string) error {
	return fmt.Errorf("read tcp 127.0.0.1:%s->127.0.0.1:5672: %s", port, why)
}

func TestAProblemIsSaidWhenItIsNewsAndNowAndThenWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, said, _ := newHealth(t)
		for i, c := range []struct {
			reason Reason
			err    error
			after  time.Duration
			says   int
		}{
			{Lost, problem("40000", "connection reset by peer"), 0, 1},
			{Lost, problem("50000", "connection reset by peer"), time.Second, 1}, // only this end's port is another
			{Lost, problem("50000", "i/o timeout"), time.Second, 2},
			{Unreachable, problem("50000", "i/o timeout"), time.Second, 3},
			{Unreachable, problem("50000", "i/o timeout"), 2 * sayAgain, 4},
		} {
			time.Sleep(c.after)
			h.Down(c.reason, c.err)
			if n := strings.Count(said.String(), "cannot work with the broker"); n != c.says {
				t.Errorf("step %d: the log has it %d times, want %d:\n%s", i, n, c.says, said)
			}
		}
		h.Up()
		h.Up()
		if n := strings.Count(said.String(), "can be worked with"); n != 1 {
			t.Errorf("the log has the end %d times:\n%s", n, said)
		}
	})
}

func TestReadinessAndMetricsShowWhatIsWrong(t *testing.T) {
	h, _, reg := newHealth(t)
	lost, grant := errors.New("connection reset"), errors.New("grant roles/pubsub.viewer")
	for i, c := range []struct {
		do                 func()
		says               string
		connected, blocked int
		failures           string
	}{
		{func() {}, "not connected to the broker yet", 0, 0, ""},
		{h.Up, "", 1, 0, ""},
		{func() { h.Block("disk") }, "the broker takes no events: disk", 1, 1, ""},
		{h.Unblock, "", 1, 0, ""},
		{func() { h.Block("disk") }, "takes no events", 1, 1, ""},
		{func() { h.Down(Lost, lost) }, "connection reset", 0, 0, "lost"},
		{h.Up, "", 1, 0, "lost"},
		{func() { h.Doubt(Credentials, grant) }, "roles/pubsub.viewer", 1, 0, "credentials"},
		{func() { h.Doubt(Credentials, nil) }, "", 1, 0, "credentials"},
	} {
		c.do()
		if err := h.Check(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("step %d: readiness says %v, want %q", i, err, c.says)
		}
		shows(t, reg, fmt.Sprintf("step %d", i), "hyperfleet_broker_connected", c.connected)
		shows(t, reg, fmt.Sprintf("step %d", i), "hyperfleet_broker_blocked", c.blocked)
		if c.failures != "" && testutil.ToFloat64(h.failures[Reason(c.failures)]) != 1 {
			t.Errorf("step %d: the metric does not count one failure by %s", i, c.failures)
		}
	}
	if n, err := testutil.GatherAndCount(reg, "hyperfleet_broker_connection_failures_total"); err != nil || n != len(reasons) {
		t.Errorf("%d reasons are shown from the start, want %d: %v", n, len(reasons), err)
	}
}

// shows checks the series of a metric, by their values.
func shows(t *testing.T, reg *prometheus.Registry, when, metric string, want ...int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric {
				got = append(got, int(m.GetGauge().GetValue()))
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s is %v, want %v", when, metric, got, want)
	}
}

func TestThoseOfOneNameShareASeriesThatEndsWithTheLast(t *testing.T) {
	a, _, reg := newHealth(t)
	m, err := Register(reg) // of another driver
	if err != nil {
		t.Fatal(err)
	}
	b := m.Of(slog.New(slog.DiscardHandler), "publisher", "events")
	for i, c := range []struct {
		do        func()
		connected []int
		blocked   []int
	}{
		{a.Up, []int{0}, []int{0}},
		{b.Up, []int{1}, []int{0}},
		{func() { b.Block("disk") }, []int{1}, []int{1}},
		{func() { b.Down(Lost, errors.New("reset")) }, []int{0}, []int{0}},
		{b.Stop, []int{1}, []int{0}}, // a shard was given up, another goes on
		{a.Stop, nil, nil},
		{a.Stop, nil, nil},
		{func() { a.Down(Lost, errors.New("reset")) }, nil, nil}, // too late
		{a.Start, []int{0}, []int{0}},                            // taken up again
		{a.Up, []int{1}, []int{0}},
	} {
		c.do()
		shows(t, reg, fmt.Sprintf("step %d", i), "hyperfleet_broker_connected", c.connected...)
		shows(t, reg, fmt.Sprintf("step %d", i), "hyperfleet_broker_blocked", c.blocked...)
	}
}

func TestDriversOnOneRegistryShareTheMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		m, err := Register(reg)
		if err != nil {
			t.Fatal(err)
		}
		m.Of(slog.New(slog.DiscardHandler), "publisher", "events").Pending.Inc()
	}
	const want = "# HELP hyperfleet_broker_unconfirmed_events Events whose callers wait until the broker has confirmed them.\n" +
		"# TYPE hyperfleet_broker_unconfirmed_events gauge\nhyperfleet_broker_unconfirmed_events{name=\"events\",role=\"publisher\"} 2\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "hyperfleet_broker_unconfirmed_events"); err != nil {
		t.Error(err)
	}
}
