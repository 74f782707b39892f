package postgres

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// TestWhatAnAdminWritesInAWorkloadsPlaceIsNoted, and what workloads write is not.
func TestWhatAnAdminWritesInAWorkloadsPlaceIsNoted(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	write := func(ctx context.Context, holder string) {
		for _, observed := range []int64{0, 1} {
			if _, err := s.Report(ctx, clusters, all, r.ID, fleet.NewReport{AdapterName: "dns", Phase: complete, ObservedGeneration: observed}); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.RegisterAdapter(ctx, "dns", fleet.NewAdapterInstance{Instance: "x", ResourceTypes: ofClusters}); err != nil {
			t.Error(err)
		}
		if _, err := s.HoldShard(ctx, "one", newShard(holder, "")); err != nil && fleet.ErrorCode(err) != fleet.ShardHeld {
			t.Error(err)
		}
	}
	notes := func() []string {
		var out []string
		if _, err := s.Audit(t.Context(), all, audit.Query{}, func(e fleet.AuditEntry) error {
			out = append(out, e.Principal+" "+string(e.Action)+" "+e.ResourceType+" "+e.Name)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	write(audit.NewContext(t.Context(), audit.Author{Principal: "workload"}), "h")
	if diff := cmp.Diff([]string{" create clusters a"}, notes()); diff != "" {
		t.Errorf("of workloads (-want +got):\n%s", diff)
	}
	write(audit.NewContext(t.Context(), audit.Author{Principal: "me", Admin: true}), "h")
	write(audit.NewContext(t.Context(), audit.Author{Principal: "other", Admin: true}), "another") // who is refused the shard
	if diff := cmp.Diff([]string{
		"other update adapters dns", "other report clusters a", "other report clusters a",
		"me update shards one", "me update adapters dns", "me report clusters a", "me report clusters a", " create clusters a",
	}, notes()); diff != "" {
		t.Errorf("of admins (-want +got):\n%s", diff)
	}
}
