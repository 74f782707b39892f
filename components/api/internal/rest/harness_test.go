package rest_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
	"github.com/hyperfleet/hyperfleet/libs/fleet/openapi"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestMain(m *testing.M) { pgdev.Main(m) }

// bed is a running API whose every answer is compared with the contract.
type bed struct {
	testing.TB
	url      string
	handler  http.Handler
	db       *sql.DB
	store    *postgres.Store
	client   *http.Client
	registry *prometheus.Registry
	log      *bytes.Buffer
}

func newBed(t testing.TB) *bed { return newBedFor(t, auth.Config{Mode: auth.ModeDisabled}) }

// newBedFor is a bed that admits whom the configuration admits.
func newBedFor(t testing.TB, who auth.Config) *bed {
	t.Helper()
	url := pgdev.Database(t)
	store, err := postgres.Open(t.Context(), postgres.Config{
		URL: url, Required: map[fleet.ResourceType][]string{fleet.Clusters: {"validation", "dns"}, fleet.NodePools: {"validation"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := serveFor(t, store, 30*time.Second, who)
	b.db, b.store = db, store
	return b
}

// serve runs the handlers over any store, for everybody.
func serve(t testing.TB, store rest.Store, timeout time.Duration) *bed {
	return serveFor(t, store, timeout, auth.Config{Mode: auth.ModeDisabled})
}

func serveFor(t testing.TB, store rest.Store, timeout time.Duration, who auth.Config) *bed {
	t.Helper()
	schemas, err := schema.New(openapi.API())
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{TB: t, registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	metrics, err := rest.NewMetrics(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := auth.New(who, auth.Deps{Registry: b.registry, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := rest.New(rest.Options{
		Store: store, Gate: gate, Schemas: schemas, Contract: openapi.API(), Metrics: metrics, Timeout: timeout,
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	b.url, b.handler = srv.URL, handler
	b.client = &http.Client{Timeout: time.Minute, Transport: &judge{t: t, next: srv.Client().Transport, contract: readContract(t)}}
	return b
}

// request is what a test sends; a body is JSON unless header says otherwise.
type request struct {
	method, path string
	header       http.Header
	body         string
}

// response is what came back.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (b *bed) send(r request) response {
	b.Helper()
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(b.Context(), r.method, b.url+r.path, body)
	if err != nil {
		b.Fatal(err)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, text}
}

// want sends a request that must be answered with status, and reads the answer.
func want[T any](b *bed, status int, method, path, body string) T {
	b.Helper()
	got := b.send(request{method: method, path: path, body: body})
	if got.status != status {
		b.Fatalf("%s %s: answered %d, want %d: %s", method, path, got.status, status, got.body)
	}
	var out T
	if len(got.body) > 0 {
		if err := json.Unmarshal(got.body, &out); err != nil {
			b.Fatalf("%s %s: %v in %s", method, path, err, got.body)
		}
	}
	return out
}

func (b *bed) create(name, labels string) fleet.Resource {
	b.Helper()
	return want[fleet.Resource](b, 201, "POST", "/v1/clusters", `{"name":"`+name+`","labels":{`+labels+`},"spec":{"version":"4.16.3"}}`)
}

// stored is a fingerprint of everything in the database.
func (b *bed) stored() string {
	b.Helper()
	var all strings.Builder
	for _, table := range []string{"clusters", "schedule", "statuses", "adapter_reports"} {
		var n int
		var sum sql.NullString
		err := b.db.QueryRowContext(b.Context(), `SELECT count(*), md5(string_agg(x::text, '|' ORDER BY x::text)) FROM `+table+` x`).Scan(&n, &sum)
		if err != nil {
			b.Fatal(err)
		}
		all.WriteString(table + " " + sum.String + "\n")
	}
	return all.String()
}

func example(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rounds is how often a random or violent test repeats.
func rounds(t testing.TB) int {
	t.Helper()
	return fleettest.Rounds(t)
}
