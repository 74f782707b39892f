package api_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

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
	there, err := url.Parse(pgdev.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	reserved := listen(t)
	away := *there
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
	forward(t, away.Host, there.Host)
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

func TestWhatDoesNotServeIsNotReady(t *testing.T) {
	cfg, health := open(), service.NewHealth()
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
	cfg := open()
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
