package api_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
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

// TestItServesAsTheApplicationsRole: it waits until the migrator was there, and
// needs nothing of the migrator's rights from then on.
func TestItServesAsTheApplicationsRole(t *testing.T) {
	roles := pgdev.DatabaseRoles(t)
	cfg := open()
	cfg.DatabaseURL = service.Secret(roles.Application)
	waiting := make(chan struct{})
	log := &record{awake: waiting, when: "migrate up"}
	ln := listen(t)
	registry := prometheus.NewRegistry()
	a, err := api.New(cfg, api.Deps{Log: slog.New(slog.NewTextHandler(log, nil)), Registry: registry, Listener: ln})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-waiting

	migrator := api.DefaultConfig()
	migrator.DatabaseURL, migrator.Role = service.Secret(roles.Owner), pgdev.ApplicationRole
	if err := api.Migrate(t.Context(), migrator, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	c, err := client.New("http://"+ln.Addr().String(), nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it serves", func() bool {
		_, err := c.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "a"})
		return err == nil || fleet.ErrorCode(err) == fleet.NameTaken
	})
	eventually(t, "two partitions are ahead", func() bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "hyperfleet_api_partitions_ahead" {
				return f.GetMetric()[0].GetGauge().GetValue() == 2
			}
		}
		return false
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.text.String(), "permission denied") {
		t.Errorf("it lacks rights:\n%s", log.text.String())
	}
}

// TestStoppingLosesNothing: a stop under writes ends them in order. What was
// answered 201 is there, and nobody is left without an answer for long.
func TestStoppingLosesNothing(t *testing.T) {
	url := pgdev.Database(t)
	r := start(t, url, nil)
	made, err := r.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	answered := map[string]bool{}
	under := make(chan struct{}, 1000)
	var writers sync.WaitGroup
	for w := range 16 {
		writers.Go(func() {
			for i := range 1000 {
				n := fleet.NewReport{AdapterName: fmt.Sprintf("a%d", w), Phase: fleet.ReportRunning, Message: fmt.Sprint(i)}
				out, err := r.Report(t.Context(), fleet.Clusters, made.ID, n)
				if err != nil {
					return // it has stopped
				}
				mu.Lock()
				answered[out.ID] = true
				mu.Unlock()
				under <- struct{}{}
			}
		})
	}
	for range 50 {
		<-under
	}
	begun := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	go func() { // whoever still wants to say that it was answered
		for range under {
		}
	}()
	writers.Wait()
	close(under)
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // a test's connection
	for id := range answered {
		var there bool
		if err := db.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT FROM statuses WHERE id = $1)`, id).Scan(&there); err != nil || !there {
			t.Fatalf("report %s was answered and is not there: %v", id, err)
		}
	}
	if len(answered) < 50 || len(answered) == 16_000 {
		t.Errorf("%d reports were answered: it did not stop under writes", len(answered))
	}
}
