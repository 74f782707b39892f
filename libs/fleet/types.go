package fleet

// ResourceType names a kind of resource as it stands in paths and events.
type ResourceType string

// Clusters is the resource type of Kubernetes clusters.
const Clusters ResourceType = "clusters"

// TypeInfo is what differs between resource types.
type TypeInfo struct {
	Type      ResourceType
	Kind      string // "Cluster"
	ListKind  string // "ClusterList"
	EventType string // CloudEvents type
	Topic     string // default topic of its events
}

// Types returns the registry of resource types.
func Types() []TypeInfo {
	return []TypeInfo{{
		Type:      Clusters,
		Kind:      "Cluster",
		ListKind:  "ClusterList",
		EventType: "com.redhat.hyperfleet.cluster.reconcile.v1",
		Topic:     "hyperfleet.clusters.changed.v1",
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
