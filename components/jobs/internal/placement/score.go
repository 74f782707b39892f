package placement

import (
	"math"
	"slices"
)

// Weights say how much each score counts. A place's total is the weighted sum.
type Weights struct {
	Free         float64 `json:"free"`         // share of its capacity that is left
	TenantSpread float64 `json:"tenantSpread"` // few other clusters of the same tenant
	Zones        float64 `json:"zones"`        // share of the node pools' zones that it is in
	Latency      float64 `json:"latency"`      // its latency class
	Cost         float64 `json:"cost"`         // the cheapest among those that fit: 1
}

// DefaultWeights fill places evenly, and break ties by everything else.
func DefaultWeights() Weights {
	return Weights{Free: 100, TenantSpread: 0.1, Zones: 0.1, Latency: 0.1, Cost: 0.1}
}

// latencyClasses are the scores of latency classes; that of "" is medium.
var latencyClasses = map[string]float64{"low": 1, "medium": 0.5, "": 0.5, "high": 0}

// Scores are between 0 and 1; more is better.
type Scores struct {
	Free         float64 `json:"free"`
	TenantSpread float64 `json:"tenantSpread"`
	Zones        float64 `json:"zones"`
	Latency      float64 `json:"latency"`
	Cost         float64 `json:"cost"`
	Total        float64 `json:"total"` // weighted
}

// score judges one place that fits. cheapest is the least cost of those that do.
func score(m ManagementCluster, w Wanted, l *Ledger, weights Weights, cheapest float64) Scores {
	s := Scores{
		Free:         float64(m.Capacity-l.Used(m.Name)) / float64(max(1, m.Capacity)), // kept ones may have none
		TenantSpread: 1 / float64(1+l.UsedBy(m.Name, w.Tenant)),
		Latency:      latencyClasses[m.LatencyClass],
		Cost:         1,
	}
	if len(w.Zones) > 0 {
		s.Zones = float64(count(w.Zones, m.Zone)) / float64(len(w.Zones))
	}
	if m.Cost > 0 {
		s.Cost = cheapest / m.Cost
	}
	total := weights.Free*s.Free + weights.TenantSpread*s.TenantSpread + weights.Zones*s.Zones +
		weights.Latency*s.Latency + weights.Cost*s.Cost
	s.Total = math.Round(total*1e9) / 1e9 // what people read decides
	return s
}

// leastCost is the least cost of those that have one.
func leastCost(fit []ManagementCluster) float64 {
	var costs []float64
	for _, m := range fit {
		if m.Cost > 0 {
			costs = append(costs, m.Cost)
		}
	}
	if len(costs) == 0 {
		return 0
	}
	return slices.Min(costs)
}

func count(list []string, s string) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}
