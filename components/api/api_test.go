package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	registry, health, ln := prometheus.NewRegistry(), service.NewHealth(), listen(t)
	cfg := api.DefaultConfig()
	cfg.DatabaseURL = service.Secret(databaseURL)
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
	resp, err := http.Get(url) //nolint:noctx // a test against itself
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
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
	if err := r.Delete(ctx, fleet.Clusters, c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(ctx, fleet.Clusters, c.ID); fleet.ErrorCode(err) != fleet.NotFound {
		t.Errorf("after deletion: %v", err)
	}
}

// record keeps a log and says when a line with some text has come.
type record struct {
	mu    sync.Mutex
	text  bytes.Buffer
	awake chan struct{}
	when  string
}

func (l *record) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(b), l.when) && l.awake != nil {
		close(l.awake)
		l.awake = nil
	}
	return l.text.Write(b)
}

func TestItWaitsForItsDatabaseAndIsReadyOnlyThen(t *testing.T) {
	real, err := url.Parse(pgdev.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	reserved := listen(t)
	away := *real
	away.Host = reserved.Addr().String()
	_ = reserved.Close() // nothing answers there, yet
	waiting := make(chan struct{})
	log := &record{awake: waiting, when: "waiting for the database"}
	r := start(t, away.String(), slog.New(slog.NewTextHandler(log, nil)))

	select {
	case <-waiting:
	case <-time.After(patience):
		t.Fatal("it did not say that it waits")
	}
	if status, body := read(t, r.admin+"/readyz?verbose"); status != 503 || !strings.Contains(body, "database") {
		t.Errorf("without a database: %d %s", status, body)
	}
	forward(t, away.Host, real.Host)
	eventually(t, "ready with a database", func() bool { status, _ := read(t, r.admin+"/readyz"); return status == 200 })
	if _, err := r.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "a"}); err != nil {
		t.Error(err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if status, _ := read(t, r.admin+"/readyz"); status != 503 {
		t.Errorf("ready after it stopped: %d", status)
	}
}

// forward carries connections from one address to another.
func forward(t *testing.T, from, to string) {
	t.Helper()
	ln, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				return
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				}()
			}
		}
	}()
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

func TestWhatDoesNotServeIsNotReady(t *testing.T) {
	cfg, health := api.DefaultConfig(), service.NewHealth()
	cfg.DatabaseURL = service.Secret(pgdev.Database(t)) // it answers, but nobody has migrated it
	if _, err := api.New(cfg, api.Deps{Health: health}); err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(service.AdminHandler(health, prometheus.NewRegistry()))
	defer admin.Close()
	if status, body := read(t, admin.URL+"/readyz?verbose"); status != 503 || !strings.Contains(body, "starting") {
		t.Errorf("before it serves: %d %s", status, body)
	}
}

func TestStoppingWhileTheDatabaseIsAwayIsNoError(t *testing.T) {
	waiting := make(chan struct{})
	log := &record{awake: waiting, when: "waiting"}
	r := start(t, "postgres://user:hunter2@127.0.0.1:1/x", slog.New(slog.NewTextHandler(log, nil)))
	<-waiting
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestADatabaseThatNeverComesIsSaidWithoutThePassword(t *testing.T) {
	cfg := api.DefaultConfig()
	cfg.DatabaseURL, cfg.DatabaseWait = "postgres://user:hunter2@127.0.0.1:1/x", 200*time.Millisecond
	var log bytes.Buffer
	err := api.Migrate(t.Context(), cfg, &log)
	if err == nil || !strings.Contains(err.Error(), "check database-url") {
		t.Errorf("said %v", err)
	}
	if strings.Contains(log.String()+err.Error(), "hunter2") {
		t.Errorf("shows the password: %v\n%s", err, log.String())
	}
}

func TestMigrateIsDoneOnce(t *testing.T) {
	cfg := api.DefaultConfig()
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
