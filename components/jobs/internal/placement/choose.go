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
	Tenant         string
	Region         string
	Provider       string
	Architecture   string
	Zones          []string // of its node pools, one entry a pool and zone
	RequiredLabels map[string]string
	Pinned         string // name of a management cluster
}

// Candidate is what was found of one management cluster.
type Candidate struct {
	Name     string   `json:"name"`
	Refusals []string `json:"refusals,omitempty"` // everything that speaks against it
	Scores   *Scores  `json:"scores,omitempty"`   // nil if it is refused
}

// Choice is where a cluster goes, and why.
type Choice struct {
	Chosen     ManagementCluster `json:"-"`
	Kept       bool              `json:"kept"`       // it was there already
	Candidates []Candidate       `json:"candidates"` // the best first, then the refused by name
}

// Choose finds the best place for a cluster, given where clusters are already.
// The cluster keeps the place that it has while that is right; otherwise the
// highest score wins, the first by name among equals. The same arguments give
// the same answer. An error is a [NoPlaceError], or says that the cluster asks for a
// place that there is not.
func Choose(in Inventory, l *Ledger, w Wanted) (Choice, error) {
	if w.Pinned != "" && !slices.ContainsFunc(in.ManagementClusters, func(m ManagementCluster) bool { return m.Name == w.Pinned }) {
		return Choice{}, fmt.Errorf("placement.managementCluster names %s, which the inventory does not have", w.Pinned)
	}
	has := l.Of(w.Cluster).On
	var c Choice
	var fit []ManagementCluster
	for _, m := range in.ManagementClusters {
		if why := refusals(m, w, l.Used(m.Name), m.Name == has); len(why) > 0 {
			c.Candidates = append(c.Candidates, Candidate{Name: m.Name, Refusals: why})
			continue
		}
		fit = append(fit, m)
	}
	slices.SortFunc(c.Candidates, func(a, b Candidate) int { return cmp.Compare(a.Name, b.Name) })
	if len(fit) == 0 {
		return c, NoPlaceError{c.Candidates}
	}
	best := rank(in, fit, l, w)
	c.Candidates = append(best, c.Candidates...)
	if c.Kept = slices.ContainsFunc(fit, func(m ManagementCluster) bool { return m.Name == has }); !c.Kept {
		has = best[0].Name
	}
	c.Chosen = fit[slices.IndexFunc(fit, func(m ManagementCluster) bool { return m.Name == has })]
	return c, nil
}

// rank scores the places that fit, the best first.
func rank(in Inventory, fit []ManagementCluster, l *Ledger, w Wanted) []Candidate {
	weights := DefaultWeights()
	if in.Weights != nil {
		weights = *in.Weights
	}
	cheapest := leastCost(fit)
	ranked := make([]Candidate, len(fit))
	for i, m := range fit {
		s := score(m, w, l, weights, cheapest)
		ranked[i] = Candidate{Name: m.Name, Scores: &s}
	}
	slices.SortFunc(ranked, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Scores.Total, a.Scores.Total), cmp.Compare(a.Name, b.Name))
	})
	return ranked
}

// NoPlaceError says of every management cluster why it is refused.
type NoPlaceError struct{ Candidates []Candidate }

func (e NoPlaceError) Error() string {
	all := make([]string, len(e.Candidates))
	for i, c := range e.Candidates {
		all[i] = c.Name + " (" + strings.Join(c.Refusals, ", ") + ")"
	}
	return "no management cluster fits: " + strings.Join(all, "; ")
}

// refusals says everything that speaks against m. used is how many clusters it
// hosts; has says that this one is among them.
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
		why = append(why, inMaintenance)
	}
	if used >= m.Capacity && !has {
		why = append(why, fmt.Sprintf("%s: %d of %d", isFull, used, m.Capacity))
	}
	return why
}

// Refusals that may pass by themselves.
const (
	inMaintenance = "is in maintenance"
	isFull        = "is full"
)

// mayBecomeFree says whether only time keeps c from being the place.
func (c Candidate) mayBecomeFree() bool {
	for _, why := range c.Refusals {
		if why != inMaintenance && !strings.HasPrefix(why, isFull) {
			return false
		}
	}
	return true
}

func distinct(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
