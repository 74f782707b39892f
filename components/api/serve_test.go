package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

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
