package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func TestMain(m *testing.M) { pgdev.Main(m) }

const patience = 30 * time.Second

// running is an API in this process, with its admin server.
type running struct {
	*client.Client
	url, admin string
	stop       func() error
}

// open is a configuration without authentication.
func open() api.Config {
	cfg := api.DefaultConfig()
	cfg.Auth.Mode = "disabled"
	return cfg
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func start(t *testing.T, databaseURL string, log *slog.Logger) running {
	t.Helper()
	cfg := open()
	cfg.DatabaseURL, cfg.Migrate = service.Secret(databaseURL), true
	return startWith(t, cfg, log)
}

func startWith(t *testing.T, cfg api.Config, log *slog.Logger) running {
	t.Helper()
	registry, health, ln := prometheus.NewRegistry(), service.NewHealth(), listen(t)
	a, err := api.New(cfg, api.Deps{Log: log, Registry: registry, Health: health, Listener: ln})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	admin := httptest.NewServer(service.AdminHandler(health, registry))
	t.Cleanup(admin.Close)
	address := "http://" + ln.Addr().String()
	c, err := client.New(address, nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	return running{c, address, admin.URL, stop}
}

func read(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within %s: %s", patience, what)
		}
	}
}

func TestTheClientAndTheAPIUnderstandEachOther(t *testing.T) {
	r := start(t, pgdev.Database(t), nil)
	ctx := t.Context()
	text, err := os.ReadFile("../../docs/examples/cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	var in fleet.NewResource
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	c, err := r.Create(ctx, fleet.Clusters, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(ctx, fleet.Clusters, in); fleet.ErrorCode(err) != fleet.NameTaken {
		t.Errorf("the same name again: %v", err)
	}
	if c, err = r.Patch(ctx, fleet.Clusters, c.ID, map[string]any{"spec": map[string]any{"version": "4.16.4"}}); err != nil || c.Generation != 2 {
		t.Errorf("patch: generation %d, %v", c.Generation, err)
	}
	backoff := fleet.Backoff{NotReady: time.Hour, Ready: time.Hour}
	due, err := r.Due(ctx, fleet.Clusters, client.DueOptions{Selector: "region in (us-east)", Backoff: backoff})
	if err != nil || len(due.Items) != 1 {
		t.Fatalf("due: %+v, %v", due, err)
	}
	if err := r.Published(ctx, fleet.Clusters, fleet.Published{Tokens: []string{due.Items[0].Token}, BackoffNotReady: "1h", BackoffReady: "1h"}); err != nil {
		t.Fatal(err)
	}
	if due, err = r.Due(ctx, fleet.Clusters, client.DueOptions{Backoff: backoff}); err != nil || len(due.Items) != 0 {
		t.Errorf("due after publication: %+v, %v", due, err)
	}
	at := fleet.At(time.Now())
	for _, adapter := range api.DefaultConfig().Required[fleet.Clusters] {
		_, err := r.Report(ctx, fleet.Clusters, c.ID, fleet.NewReport{AdapterName: adapter, Phase: fleet.ReportComplete, Message: "done",
			LastTransitionTime: &at, ObservedGeneration: 2, Attempt: 1, CheckedAt: &at, Data: json.RawMessage(`{"a":1}`)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if c, err = r.Get(ctx, fleet.Clusters, c.ID); err != nil || c.Status.Phase != fleet.Ready {
		t.Errorf("all adapters Complete: %+v, %v", c.Status, err)
	}
	if l, err := r.Reports(ctx, fleet.Clusters, c.ID, "dns", 10, ""); err != nil || len(l.Items) != 1 || !l.Items[0].LastTransitionTime.Equal(at.Time) {
		t.Errorf("history: %+v, %v", l, err)
	}
	n := 0
	for _, err := range r.All(ctx, fleet.Clusters, client.ListOptions{Selector: "region=us-east", Phase: "!Pending", UpdatedSince: time.Unix(0, 0), Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("listed %d", n)
	}
	if err := r.ForceDelete(ctx, fleet.Clusters, c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(ctx, fleet.Clusters, c.ID); fleet.ErrorCode(err) != fleet.NotFound {
		t.Errorf("after deletion: %v", err)
	}
}

func TestMetricsThatNoRequestMoves(t *testing.T) {
	db := pgdev.Database(t)
	first := start(t, db, nil)
	if _, body := read(t, first.admin+"/metrics"); !strings.Contains(body, `hyperfleet_api_clusters_total{phase="Failed"} 0`) ||
		!strings.Contains(body, `hyperfleet_api_requests_total{method="POST",path="/v1/clusters",status="500"} 0`) {
		t.Errorf("series do not exist from the start:\n%s", body)
	}
	for _, name := range []string{"a", "b"} {
		if _, err := first.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	second := start(t, db, nil) // it counts when it starts
	eventually(t, "two are Pending", func() bool {
		_, body := read(t, second.admin+"/metrics")
		return strings.Contains(body, `hyperfleet_api_clusters_total{phase="Pending"} 2`)
	})
	_, body := read(t, second.admin+"/metrics")
	for _, want := range []string{`hyperfleet_api_pool_connections_max{pool="main"} 12`, `hyperfleet_api_pool_connections_max{pool="due"} 4`, "hyperfleet_api_pool_waits_total{", "hyperfleet_api_schema_version "} {
		if !strings.Contains(body, want) || strings.Contains(body, "hyperfleet_api_schema_version 0\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

func TestMigrateIsDoneOnce(t *testing.T) {
	cfg := open()
	cfg.DatabaseURL = service.Secret(pgdev.Database(t))
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	var log record
	for range 3 {
		group.Go(func() {
			err := api.Migrate(t.Context(), cfg, &log)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	group.Wait()
	if n := strings.Count(log.text.String(), `"msg":"migrated"`); failed != nil || n == 0 || n != strings.Count(log.text.String(), `"version"`) {
		t.Errorf("%d migrations: %v\n%s", n, failed, log.text.String())
	}
	log.text.Reset()
	if err := api.Migrate(t.Context(), cfg, &log); err != nil || strings.Contains(log.text.String(), "migrated") {
		t.Errorf("again: %v %s", err, log.text.String())
	}
	cfg.ShardKey = "zone"
	if err := api.Migrate(t.Context(), cfg, &log); err == nil || !strings.Contains(err.Error(), `"region"`) {
		t.Errorf("another shard key: %v", err)
	}
}
