package placement

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// TestALargeFleetIsSpreadEvenly places 10,000 clusters of many tenants on 200
// management clusters of two regions.
func TestALargeFleetIsSpreadEvenly(t *testing.T) {
	const places, clusters, regions = 200, 10_000, 2
	var in Inventory
	for i := range places {
		in.ManagementClusters = append(in.ManagementClusters, ManagementCluster{Name: fmt.Sprintf("mc-%d", i), Region: fmt.Sprintf("r%d", i%regions),
			Provider: "aws", Zone: fmt.Sprintf("z%d", i%6), Architectures: []string{"amd64"}, Capacity: 60,
			LatencyClass: []string{"low", "medium", "high"}[i%3], Cost: float64(1 + i%4)})
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []fleet.Resource
	for i := range clusters {
		all = append(all, fleet.Resource{ID: fmt.Sprint(i), Tenant: fmt.Sprintf("t%d", random.IntN(50)), Spec: fmt.Appendf(nil, `{"region":"r%d"}`, i%regions)})
	}
	o, err := Simulate(t.Context(), in, all)
	if err != nil || len(o.Unplaced) > 0 || o.Clusters != clusters {
		t.Fatalf("%d unplaced, %v", len(o.Unplaced), err)
	}
	even := float64(clusters) / float64(places)
	for _, p := range o.Places {
		if p.Used > p.Capacity || float64(p.Used) < 0.95*even || float64(p.Used) > 1.05*even {
			t.Errorf("%s has %d of %d, even are %.1f", p.Name, p.Used, p.Capacity, even)
		}
	}
	first, err := Simulate(t.Context(), in, all[:500])
	if err != nil {
		t.Fatal(err)
	}
	again, err := Simulate(t.Context(), in, all[:500])
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("the same clusters again: %v\n%s", err, diff)
	}
}

func TestAFleetBeyondCapacityIsExplained(t *testing.T) {
	in := Inventory{ManagementClusters: []ManagementCluster{{Name: "a", Capacity: 2}, {Name: "b", Capacity: 1}}}
	all := make([]fleet.Resource, 4)
	for i := range all {
		all[i].Spec = []byte("{}")
	}
	o, err := Simulate(t.Context(), in, all)
	least, most := o.Spread()
	if err != nil || len(o.Unplaced) != 1 || o.Unplaced[0] != (Unplaced{"#3", "no management cluster fits: a (is full: 2 of 2); b (is full: 1 of 1)"}) || least != 1 || most != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestFleetFiles(t *testing.T) {
	all, err := ReadFleet(strings.NewReader(`{"id":"a","spec":{}} {"items":[{"id":"b"},{"id":"c"}],"continue":"x"} {"items":[]}`))
	if err != nil || len(all) != 3 || all[2].ID != "c" {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := ReadFleet(strings.NewReader(`{"id":"a"} {`)); err == nil {
		t.Error("half a document was read")
	}
}

func TestWeightsDecide(t *testing.T) {
	places := []ManagementCluster{
		{Name: "a", Capacity: 10, LatencyClass: "high", Cost: 1},
		{Name: "b", Capacity: 10, LatencyClass: "low", Cost: 2},
		{Name: "c", Capacity: 20, Cost: 4, Zone: "z"},
	}
	for name, c := range map[string]struct {
		weights Weights
		want    string
	}{
		"what is free":     {Weights{Free: 1}, "c"},
		"what costs least": {Weights{Cost: 1}, "a"},
		"what is near":     {Weights{Latency: 1}, "b"},
		"where no other cluster of the tenant is": {Weights{TenantSpread: 1, Free: 0.01}, "b"},
		"where the pools are":                     {Weights{Zones: 1}, "c"},
		"two together":                            {Weights{Cost: 1, Latency: 0.6}, "b"},
		"nothing at all":                          {Weights{}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger(map[string]Place{"1": {"a", "me"}, "2": {"c", "me"}, "3": {"b", "other"}, "4": {"b", "other"}})
			in := Inventory{Weights: &c.weights, ManagementClusters: places}
			w := Wanted{Cluster: "new", Tenant: "me"}
			if name == "where the pools are" {
				in.ManagementClusters = append([]ManagementCluster{{Name: "0", Capacity: 10, Zone: "y"}}, places...)
				w.Zones = []string{"y", "z", "z"}
			}
			got, err := Choose(in, l, w)
			if err != nil || got.Chosen.Name != c.want {
				t.Errorf("got %s, %v, want %s: %+v", got.Chosen.Name, err, c.want, got.Candidates)
			}
		})
	}
}
