package rest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// double is a store whose reading of one resource does what a test says.
type double struct {
	rest.Store
	get func(ctx context.Context) (resource.Item, error)
}

func (d double) Get(ctx context.Context, _ fleet.TypeInfo, _ tenant.Scope, _ string, _ bool) (resource.Item, error) {
	return d.get(ctx)
}

func failing(err error) double {
	return double{get: func(context.Context) (resource.Item, error) { return resource.Item{}, err }}
}

func TestWhatGoesWrongInsideStaysInside(t *testing.T) {
	const secret = "pq: password hunter2"
	tests := map[string]struct {
		store      double
		status     int
		retryAfter string
		logged     string
	}{
		"a panic":                      {double{get: func(context.Context) (resource.Item, error) { panic(secret) }}, 500, "", "stack="},
		"an error that nobody foresaw": {failing(errors.New(secret)), 500, "", secret},
		"a defect with a code":         {failing(fleet.Errorf(fleet.Internal, secret)), 500, "", secret},
		"a database that is away":      {failing(fmt.Errorf("get: %w", &fleet.Error{Code: fleet.Unavailable, Detail: "away", RetryAfter: 1500 * time.Millisecond})), 503, "2", "away"},
		"no hint when to retry":        {failing(&fleet.Error{Code: fleet.Unavailable, Detail: "away"}), 503, "1", "away"},
		"a request that takes too long": {double{get: func(ctx context.Context) (resource.Item, error) {
			<-ctx.Done()
			return resource.Item{}, fmt.Errorf("get: %w", ctx.Err())
		}}, 503, "1", "not served in time"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := serve(t, tt.store, 50*time.Millisecond)
			got := b.send(request{method: "GET", path: "/v1/clusters/x"})
			if got.status != tt.status || got.header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("answered %d, Retry-After %q: %s", got.status, got.header.Get("Retry-After"), got.body)
			}
			if strings.Contains(string(got.body), "hunter2") || strings.Contains(string(got.body), ".go") {
				t.Errorf("the answer shows the inside: %s", got.body)
			}
			if log := b.log.String(); !strings.Contains(log, tt.logged) || !strings.Contains(log, got.header.Get("X-Request-Id")) {
				t.Errorf("the log does not tell: %s", log)
			}
		})
	}
}

// TestARequestThatFailedIsNeverAnsweredWell: who closes the sending half of a
// connection still reads, and would take any 2xx for success.
func TestARequestThatFailedIsNeverAnsweredWell(t *testing.T) {
	begun := make(chan struct{})
	b := serve(t, double{get: func(ctx context.Context) (resource.Item, error) {
		close(begun)
		<-ctx.Done()
		return resource.Item{}, fmt.Errorf("get: %w", ctx.Err())
	}}, time.Minute)
	conn := dial(t, b)
	if _, err := fmt.Fprint(conn, "GET /v1/clusters/x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("answered %q, %v", answer, err)
	}
}

func TestRequestIDs(t *testing.T) {
	b := serve(t, failing(fleet.Errorf(fleet.NotFound, "no")), time.Minute)
	for given, kept := range map[string]bool{
		"abc-1.2_X": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\"b": false, "é": false, "<script>": false,
	} {
		got := b.send(request{method: "GET", path: "/v1/clusters/x", header: http.Header{"X-Request-Id": {given}}}).header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("given %q, answered %q", given, got)
		}
	}
}

func TestRequestsAreCounted(t *testing.T) {
	b := serve(t, failing(fleet.Errorf(fleet.NotFound, "no")), time.Minute)
	const name = "hyperfleet_api_requests_total"
	before, err := testutil.GatherAndCount(b.registry, name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		b.send(request{method: "GET", path: fmt.Sprintf("/v1/clusters/%d", i)})
		b.send(request{method: "GET", path: fmt.Sprintf("/nowhere/%d", i)})
		b.send(request{method: fmt.Sprintf("M%d", i), path: "/clusters"})
	}
	after, err := testutil.GatherAndCount(b.registry, name)
	if err != nil {
		t.Fatal(err)
	}
	if after-before != 3 {
		t.Errorf("150 requests made %d series, want 3", after-before)
	}
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			series[key] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for key, n := range map[string]float64{
		name + " method=GET path=/v1/clusters/{id} status=404":                            50,
		name + " method=GET path=unmatched status=404":                                    50,
		name + " method=other path=/clusters status=405":                                  50,
		name + " method=GET path=/v1/clusters/{id} status=500":                            0,
		name + " method=DELETE path=/clusters/{id} status=503":                            0,
		"hyperfleet_api_request_duration_seconds method=GET path=/v1/clusters/{id}":       50,
		"hyperfleet_api_request_duration_seconds method=POST path=/v1/clusters/published": 0,
	} {
		if got, ok := series[key]; !ok || got != n {
			t.Errorf("%s is %v (there: %v), want %v", key, got, ok, n)
		}
	}
}
