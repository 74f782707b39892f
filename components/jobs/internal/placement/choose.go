package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Wanted is what a cluster asks of its place. Empty fields ask nothing.
type Wanted struct {
	Cluster        string // id
	Region         string
	Provider       string
	Architecture   string
	Zones          []string // of its node pools, one entry a pool and zone
	RequiredLabels map[string]string
	Pinned         string // name of a management cluster
}

// Choose returns the best place for a cluster, given the places that clusters
// (by id) have already. The cluster keeps the place that it has while that
// is right; otherwise the emptiest place wins, one in the zones of most of its
// pools first among equals, then the first by name. The error says of every
// management cluster why it is refused.
func Choose(in Inventory, assigned map[string]string, w Wanted) (ManagementCluster, error) {
	used := map[string]int{}
	for cluster, place := range assigned {
		if cluster != w.Cluster {
			used[place]++
		}
	}
	has := assigned[w.Cluster]
	var fit []ManagementCluster
	var refused []string
	known := false
	for _, m := range in.ManagementClusters {
		known = known || m.Name == w.Pinned
		if why := refusals(m, w, used[m.Name], m.Name == has); len(why) > 0 {
			refused = append(refused, m.Name+" ("+strings.Join(why, ", ")+")")
			continue
		}
		if m.Name == has {
			return m, nil
		}
		fit = append(fit, m)
	}
	if w.Pinned != "" && !known {
		return ManagementCluster{}, fmt.Errorf("placement.managementCluster names %s, which the inventory does not have", w.Pinned)
	}
	if len(fit) == 0 {
		slices.Sort(refused)
		return ManagementCluster{}, fmt.Errorf("no management cluster fits: %s", strings.Join(refused, "; "))
	}
	return slices.MinFunc(fit, func(a, b ManagementCluster) int {
		return cmp.Or(
			// a.used/a.capacity against b.used/b.capacity, without fractions
			cmp.Compare(used[a.Name]*b.Capacity, used[b.Name]*a.Capacity),
			cmp.Compare(count(w.Zones, b.Zone), count(w.Zones, a.Zone)),
			cmp.Compare(a.Name, b.Name))
	}), nil
}

// refusals says everything that speaks against m. used is how many other
// clusters it hosts; has says that it hosts this one.
func refusals(m ManagementCluster, w Wanted, used int, has bool) (why []string) {
	differs := func(what, want, got string) {
		if want != "" && want != got {
			why = append(why, fmt.Sprintf("%s is %s, not %s", what, got, want))
		}
	}
	if w.Pinned != "" && m.Name != w.Pinned {
		return []string{"another is named by placement.managementCluster"}
	}
	differs("region", w.Region, m.Region)
	differs("provider", w.Provider, m.Provider)
	if len(w.Zones) > 0 && !slices.Contains(w.Zones, m.Zone) {
		why = append(why, fmt.Sprintf("zone is %s, none of the node pools' %s", m.Zone, strings.Join(distinct(w.Zones), ", ")))
	}
	if w.Architecture != "" && !slices.Contains(m.Architectures, w.Architecture) {
		why = append(why, "has no "+w.Architecture)
	}
	for _, k := range slices.Sorted(maps.Keys(w.RequiredLabels)) {
		if got, ok := m.Labels[k]; !ok || got != w.RequiredLabels[k] {
			why = append(why, fmt.Sprintf("has not the label %s=%s", k, w.RequiredLabels[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m.Taints)) {
		if got, ok := w.RequiredLabels[k]; !ok || got != m.Taints[k] {
			why = append(why, fmt.Sprintf("is kept for clusters that require %s=%s", k, m.Taints[k]))
		}
	}
	if m.Maintenance && !has {
		why = append(why, "is in maintenance")
	}
	if used >= m.Capacity && !has {
		why = append(why, fmt.Sprintf("is full: %d of %d", used, m.Capacity))
	}
	return why
}

func count(list []string, s string) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

func distinct(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
