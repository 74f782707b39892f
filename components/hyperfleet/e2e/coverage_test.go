package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// cmdCovered is `covered SHARD...`: waits until those are the live shards of
// clusters, in an answer that is of a later time, and prints the id of each
// cluster that none of them covers.
func cmdCovered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: covered SHARD...")
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	tick := time.NewTicker(time.Second) // an answer is up to a minute old
	defer tick.Stop()
	for {
		c, err := shared.api.Coverage(ctx, fleet.Clusters)
		ts.Check(err)
		var live []string
		for _, s := range c.Shards {
			live = append(live, s.Name)
		}
		if slices.Equal(live, args) && c.AsOf.After(begun) {
			for _, id := range c.Uncovered.IDs {
				fmt.Fprintln(ts.Stdout(), id)
			}
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("covered: the live shards were %v at %v, want %v", live, c.AsOf, args)
		case <-tick.C:
		}
	}
}
