package placement

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func inventory() Inventory {
	mc := func(name, zone string, change func(*ManagementCluster)) ManagementCluster {
		m := ManagementCluster{Name: name, Region: "us-east", Provider: "aws", ProviderRegion: "us-east-1", Zone: zone,
			Architectures: []string{"amd64"}, Capacity: 10, Labels: map[string]string{"tier": "standard"}}
		if change != nil {
			change(&m)
		}
		return m
	}
	return Inventory{ManagementClusters: []ManagementCluster{
		mc("b", "z1", nil),
		mc("a", "z1", nil),
		mc("c", "z2", nil),
		mc("arm", "z3", func(m *ManagementCluster) { m.Architectures = []string{"arm64"} }),
		mc("small", "z4", func(m *ManagementCluster) { m.Capacity = 1 }),
		mc("closed", "z5", func(m *ManagementCluster) { m.Maintenance = true }),
		mc("kept", "z6", func(m *ManagementCluster) {
			m.Labels = map[string]string{"tier": "dedicated"}
			m.Taints = map[string]string{"tier": "dedicated"}
		}),
		mc("west", "w1", func(m *ManagementCluster) { m.Region, m.Provider = "eu-west", "gcp" }),
	}}
}

// hosting is an assignment of n clusters each to the named places.
func hosting(n int, places ...string) map[string]Place {
	assigned := map[string]Place{}
	for _, place := range places {
		for i := range n {
			assigned[fmt.Sprintf("%s-%d", place, i)] = Place{On: place}
		}
	}
	return assigned
}

func TestChoose(t *testing.T) {
	base := Wanted{Cluster: "me", Region: "us-east", Provider: "aws", Architecture: "amd64"}
	with := func(change func(*Wanted)) Wanted { w := base; change(&w); return w }
	mine := func(at string, others map[string]Place) map[string]Place {
		assigned := map[string]Place{"me": {On: at}}
		maps.Copy(assigned, others)
		return assigned
	}
	for name, c := range map[string]struct {
		wanted   Wanted
		assigned map[string]Place
		want     string
	}{
		"among equals the first by name":               {base, nil, "a"},
		"the emptiest":                                 {base, hosting(1, "a", "b", "small"), "c"},
		"the emptiest by share, not by number":         {base, hosting(1, "a", "b", "c"), "small"},
		"the zone of most pools among equals":          {with(func(w *Wanted) { w.Zones = []string{"z1", "z2", "z2"} }), nil, "c"},
		"only a zone that the pools name":              {with(func(w *Wanted) { w.Zones = []string{"z2"} }), hosting(9, "c"), "c"},
		"the architecture":                             {with(func(w *Wanted) { w.Architecture = "arm64" }), nil, "arm"},
		"the region and the provider":                  {with(func(w *Wanted) { w.Region, w.Provider = "eu-west", "gcp" }), nil, "west"},
		"a kept place for those who require its label": {with(func(w *Wanted) { w.RequiredLabels = map[string]string{"tier": "dedicated"} }), nil, "kept"},
		"a named place, however full the choice":       {with(func(w *Wanted) { w.Pinned = "b" }), hosting(9, "b"), "b"},
		"the place that it has, fuller or not":         {base, mine("b", hosting(9, "b")), "b"},
		"the place that it has, full":                  {base, mine("small", nil), "small"},
		"the place that it has, in maintenance":        {base, mine("closed", nil), "closed"},
		"not the place that it has, if named another":  {with(func(w *Wanted) { w.Pinned = "a" }), mine("b", nil), "a"},
		"not the place that it has, if wrong by now":   {base, mine("west", nil), "a"},
		"not the place that it has, if gone":           {base, mine("demolished", nil), "a"},
		"its own place is counted once":                {base, mine("small", hosting(1, "a", "b", "c")), "small"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(inventory(), NewLedger(c.assigned), c.wanted)
			if err != nil || got.Chosen.Name != c.want {
				t.Errorf("got %q, %v, want %q", got.Chosen.Name, err, c.want)
			}
		})
	}
}

func TestEveryRefusalIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		wanted Wanted
		want   string
	}{
		"everything speaks against it": {
			Wanted{Cluster: "me", Region: "mars", Provider: "acme", Architecture: "pdp11", Zones: []string{"m1", "m1"}, RequiredLabels: map[string]string{"x": "y"}},
			"no management cluster fits: a (region is us-east, not mars, provider is aws, not acme, zone is z1, none of the node pools' m1, has no pdp11, has not the label x=y, is full: 10 of 10); arm (",
		},
		"maintenance": {Wanted{Cluster: "me", Zones: []string{"z5"}}, "closed (is in maintenance)"},
		"a taint":     {Wanted{Cluster: "me", Zones: []string{"z6"}}, "kept (is kept for clusters that require tier=dedicated)"},
		"capacity":    {Wanted{Cluster: "me", Zones: []string{"z4"}}, "small (is full: 10 of 1)"},
		"a named place that there is not": {Wanted{Cluster: "me", Pinned: "nowhere"},
			"placement.managementCluster names nowhere, which the inventory does not have"},
		"a named place that does not fit": {Wanted{Cluster: "me", Pinned: "west", Region: "us-east"},
			"west (region is eu-west, not us-east)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Choose(inventory(), NewLedger(hosting(10, "a", "b", "c", "arm", "small")), c.wanted)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestPlacementsSpreadAndStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "placement", "assignments.json")
	in := inventory()
	cluster := func(i int, spec string) fleet.Resource {
		return fleet.Resource{ID: fmt.Sprintf("c%d", i), Spec: []byte(spec)}
	}
	const plain = `{"region":"us-east","provider":"aws","architecture":"amd64"}`
	places := map[string]int{}
	for i := range 10 {
		_, d, err := Run(t.Context(), in, cluster(i, plain), Options{Path: path, Explanation: path + ".why"})
		if err != nil {
			t.Fatal(err)
		}
		places[d.ManagementCluster]++
	}
	if fmt.Sprint(places) != "map[a:3 b:3 c:3 small:1]" {
		t.Errorf("spread %v", places)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, _, err := Run(t.Context(), in, cluster(i, plain), Options{Path: path, Explanation: path + ".why"}); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the same clusters again: %v\n%s\n%s", err, before, after)
	}
	message, d, err := Run(t.Context(), in, cluster(0, `{"region":"eu-west"}`), Options{Path: path, Explanation: path + ".why"})
	if err != nil || d.ManagementCluster != "west" || message != "placed on west in w1, moved from a" {
		t.Errorf("got %q, %+v, %v", message, d, err)
	}
}

func TestBrokenAssignmentsAreNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assignments.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Run(t.Context(), inventory(), fleet.Resource{ID: "c", Spec: []byte("{}")}, Options{Path: path, Explanation: path + ".why"})
	if text, _ := os.ReadFile(path); err == nil || string(text) != "{" {
		t.Errorf("%v, the file holds %q", err, text)
	}
}

func TestInventories(t *testing.T) {
	in, err := Load("default.yaml", Default)
	if err != nil {
		t.Fatal(err)
	}
	regions := map[string]int{}
	for _, m := range in.ManagementClusters {
		regions[m.Region]++
	}
	if regions["us-east"] < 3 || regions["eu-west"] < 3 {
		t.Errorf("the shipped inventory has %v", regions)
	}
	_, err = Load("mine.yaml", []byte(`managementClusters:
- {name: Bad, capacity: -1}
- {name: twice, region: r, provider: p, providerRegion: pr, zone: z, architectures: [amd64], capacity: 1}
- {name: twice, region: r, provider: p, providerRegion: pr, zone: z, architectures: [amd64], capacity: 1}
`))
	for _, want := range []string{"mine.yaml", "managementClusters[0] Bad: name", "region: missing", "provider: missing", "providerRegion: missing",
		"zone: missing", "architectures: want", "capacity: want", "managementClusters[2] twice: name: stands twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	for _, text := range []string{"", "managementClusters: []", "clusters: []"} {
		if _, err := Load("x", []byte(text)); err == nil {
			t.Errorf("%q was loaded", text)
		}
	}
}
