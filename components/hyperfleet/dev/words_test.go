package dev

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/service"
)

// What a shell reads back is what was written, whatever it holds.
func TestEnvIsReadByAShell(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dev.env")
	for _, value := range []string{"http://127.0.0.1:8080", "it's", `a "b" $HOME ` + "`id` \\ \n", "'", ""} {
		if err := writeEnv(path, []variable{{"A", value}, {"B", "b"}}); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$0"; printf '%s|%s' "$A" "$B"`, path).Output()
		if err != nil || string(out) != value+"|b" {
			t.Errorf("%q is read as %q, %v", value, out, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}

func TestAUsersPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	s := stack{databaseURL: service.Secret("postgres://user:hunter2@db/x")}
	if got := s.psql(); got != `psql "$DATABASE_URL"` {
		t.Errorf("the banner says %s", got)
	}
}

func TestTheBannerNamesEverythingAndWhatToTypeNext(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	banner{apiURL: "http://a:1", metricsURL: "http://a:2/metrics", psql: "psql x", dataDir: "/my data", logFile: "/l", token: "tok", temporary: true}.print(&out)
	for _, want := range []string{"http://a:1", "http://a:2/metrics", "psql x", "/l", "tok", "removed at the end", "'/my data'/dev.env", "@docs/examples/cluster.json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the banner does not say %q:\n%s", want, out.String())
		}
	}
}

func TestTheTimelineTellsWhatHappensToEachCluster(t *testing.T) {
	t.Parallel()
	var shown, file bytes.Buffer
	log := slog.New(newTimeline(&shown, slog.NewTextHandler(&file, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Info("created", "cluster", "id-1", "name", "prod-7")
	log.Debug("request", "method", "GET", "path", "/v1/clusters")
	log.With("shard", "us").Debug("published", "cluster", "id-1", "reason", "requested")
	log.Info("phase changed", "cluster", "id-1", "from", "Pending", "to", "Ready")
	log.Debug("preconditions unmet", "cluster", "id-1")
	log.Warn("poll failed", "shard", "us", "err", "gone")
	for _, want := range []string{"prod-7", "event from us: requested", "Pending -> Ready", "warn: poll failed shard=us err=gone"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("the terminal does not show %q:\n%s", want, shown.String())
		}
	}
	if n := strings.Count(shown.String(), "\n"); n != 4 {
		t.Errorf("the terminal shows %d lines:\n%s", n, shown.String())
	}
	if got := file.String(); strings.Contains(got, "request ") || strings.Contains(got, "msg=request") || !strings.Contains(got, "preconditions unmet") {
		t.Errorf("the log file has:\n%s", got)
	}
}
