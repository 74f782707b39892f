package ownership

import "github.com/prometheus/client_golang/prometheus"

func newLeader(r prometheus.Registerer) (*prometheus.GaugeVec, error) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperfleet_sentinel_leader",
		Help: "1 while this replica holds the shard's Lease and works on the shard, else 0; no series without Kubernetes."}, []string{"shard"})
	return g, r.Register(g)
}
