package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// cmdGone is `gone ID [nodepools]`: waits until the resource is a tombstone,
// and prints in which order its adapters took part, a line each.
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	typ := typeOf(ts, neg, args, 1, "gone ID")
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := shared.api.Get(ctx, typ, args[0])
		if fleet.ErrorCode(err) == fleet.NotFound {
			break
		}
		ts.Check(err)
		select {
		case <-ctx.Done():
			ts.Fatalf("gone: it is still there:\n%s", indent(r))
		case <-tick.C:
		}
	}
	deletion := tombstone(ctx, ts, typ, args[0]).Generation
	for line := range strings.Lines(ts.ReadFile(shared.dataDir + "/hyperfleet.log")) {
		var r struct {
			Msg, Cluster, Adapter, Phase string
			Generation                   int64
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg == "reported" && r.Cluster == args[0] && r.Generation == deletion && r.Phase == "Complete" {
			fmt.Fprintln(ts.Stdout(), r.Adapter)
		}
	}
}

// cmdOutlived is `outlived CLUSTER-ID POOL-ID`: both are tombstones, and the
// cluster became one no earlier than its pool.
func cmdOutlived(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: outlived CLUSTER-ID POOL-ID")
	}
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	cluster, pool := tombstone(ctx, ts, fleet.Clusters, args[0]), tombstone(ctx, ts, fleet.NodePools, args[1])
	if cluster.DeletedAt.Before(pool.DeletedAt.Time) {
		ts.Fatalf("the cluster was gone at %s, its pool only at %s", cluster.DeletedAt, pool.DeletedAt)
	}
}

// tombstone reads what is left of a deleted resource.
func tombstone(ctx context.Context, ts *testscript.TestScript, typ fleet.ResourceType, id string) fleet.Resource {
	for r, err := range shared.api.All(ctx, typ, client.ListOptions{Deleted: true}) {
		ts.Check(err)
		if r.ID == id && r.DeletedAt != nil {
			return r
		}
	}
	ts.Fatalf("there is no tombstone of %s", id)
	return fleet.Resource{}
}
