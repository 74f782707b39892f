package fleet

// ResourceType names a kind of resource as it stands in paths and events.
type ResourceType string

// Resource types.
const (
	Clusters  ResourceType = "clusters"  // Kubernetes clusters
	NodePools ResourceType = "nodepools" // pools of nodes, each of one cluster
)

// TypeInfo is what differs between resource types.
type TypeInfo struct {
	Type      ResourceType
	Owner     ResourceType // type of the resource that each one belongs to; "" = none; owners have none
	Kind      string       // "Cluster"
	ListKind  string       // "ClusterList"
	EventType string       // CloudEvents type
	Topic     string       // default topic of its events
}

// Types returns the registry of resource types, owners before what they own.
func Types() []TypeInfo {
	return []TypeInfo{{
		Type:      Clusters,
		Kind:      "Cluster",
		ListKind:  "ClusterList",
		EventType: "com.redhat.hyperfleet.cluster.reconcile.v1",
		Topic:     "hyperfleet.clusters.changed.v1",
	}, {
		Type:      NodePools,
		Owner:     Clusters,
		Kind:      "NodePool",
		ListKind:  "NodePoolList",
		EventType: "com.redhat.hyperfleet.nodepool.reconcile.v1",
		Topic:     "hyperfleet.nodepools.changed.v1",
	}}
}

// Info returns t's entry in the registry.
func (t ResourceType) Info() (TypeInfo, bool) {
	for _, info := range Types() {
		if info.Type == t {
			return info, true
		}
	}
	return TypeInfo{}, false
}

// Owned returns the types whose resources belong to one of type t.
func (t ResourceType) Owned() []TypeInfo {
	var owned []TypeInfo
	for _, info := range Types() {
		if info.Owner == t {
			owned = append(owned, info)
		}
	}
	return owned
}
