package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// TestAChangeOfTheRequiredReachesEveryResource: clusters and pools, by the
// command, beside an API that serves, through the client.
func TestAChangeOfTheRequiredReachesEveryResource(t *testing.T) {
	db := pgdev.Database(t)
	r := start(t, db, nil)
	ctx := t.Context()
	var c, pool fleet.Resource
	eventually(t, "created", func() (ok bool) {
		var err error
		c, err = r.Create(ctx, fleet.Clusters, fleet.NewResource{Name: "a", Labels: map[string]string{"region": "us-east"}})
		return err == nil
	})
	for i := range 3 {
		var err error
		if pool, err = r.CreateIn(ctx, fleet.Clusters, c.ID, fleet.NodePools, fleet.NewResource{Name: fmt.Sprintf("p-%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Report(ctx, fleet.NodePools, pool.ID, fleet.NewReport{AdapterName: "validation", Phase: fleet.ReportComplete}); err != nil {
		t.Fatal(err)
	}
	cfg := open()
	cfg.DatabaseURL, cfg.Required = service.Secret(db), map[fleet.ResourceType][]string{fleet.Clusters: {"dns"}, fleet.NodePools: {"validation"}}
	roll := func(args ...string) (string, error) {
		var out strings.Builder
		cmd := api.RollupCommand(&cfg, func(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error { return run })
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(context.WithoutCancel(ctx))
		return out.String(), err
	}
	for _, args := range [][]string{{}, {"--all", "--rate", "0"}} {
		if out, err := roll(args...); err == nil || out != "" {
			t.Errorf("rollup %v: %q, %v", args, out, err)
		}
	}
	if out, err := roll("--all"); err != nil || out != "clusters: 1 rolled up, 1 changed\nnodepools: 3 rolled up, 3 changed\n" {
		t.Errorf("rollup: %q, %v", out, err)
	}
	if out, err := roll("--all", "--rate", "1000"); err != nil || !strings.Contains(out, "nodepools: 3 rolled up, 0 changed") {
		t.Errorf("once more: %q, %v", out, err)
	}
	if pool, err := r.Get(ctx, fleet.NodePools, pool.ID); err != nil || pool.Status.Phase != fleet.Ready {
		t.Errorf("%+v, %v", pool.Status, err)
	}

	// What the client says of the rest of a pool's life.
	if list, err := r.List(ctx, fleet.NodePools, client.ListOptions{Owner: c.ID, Phase: "Ready"}); err != nil || len(list.Items) != 1 {
		t.Errorf("%d pools, %v", len(list.Items), err)
	}
	if again, err := r.Reconcile(ctx, fleet.NodePools, pool.ID, "validation", "hypershift"); err != nil || again.Status.Phase != fleet.Pending {
		t.Errorf("%+v, %v", again.Status, err)
	}
	if paused, err := r.Pause(ctx, fleet.NodePools, pool.ID, true); err != nil || !paused.Paused {
		t.Errorf("%+v, %v", paused, err)
	}
	known, err := r.Register(ctx, "validation", fleet.NewAdapterInstance{Instance: "a/b/c", ResourceTypes: []fleet.ResourceType{fleet.NodePools}, HasDeletion: true})
	if err != nil || !known.Registered() || !known.HasDeletion {
		t.Errorf("%+v, %v", known, err)
	}
	if all, err := r.Adapters(ctx); err != nil || len(fleet.Participants(fleet.NodePools, all.Items, nil)) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := r.Unregister(ctx, "validation", "a/b/c"); err != nil {
		t.Error(err)
	}
	if err := r.Delete(ctx, fleet.Clusters, c.ID); err != nil {
		t.Error(err)
	}
	if c, err = r.Get(ctx, fleet.Clusters, c.ID); err != nil || c.Status.Phase != fleet.Deleting {
		t.Errorf("%+v, %v", c, err)
	}
	if err := r.ForceDelete(ctx, fleet.Clusters, c.ID); err != nil {
		t.Error(err)
	}
	if _, err := r.Get(ctx, fleet.NodePools, pool.ID); fleet.ErrorCode(err) != fleet.NotFound {
		t.Errorf("the pool of what was deleted with force: %v", err)
	}
}
