package fleet

// Reason says why a resource is due.
type Reason string

// Reasons, as events and due lists carry them.
const (
	GenerationChanged Reason = "generation-changed" // created, or spec changed
	Requested         Reason = "requested"          // labels changed, unpaused, or asked for
	Deletion          Reason = "deletion"           // its deletion may go on
	AdapterCompleted  Reason = "adapter-completed"  // the next adapter may be able to start
	Retry             Reason = "retry"              // an adapter asked for this moment
	BackoffExpired    Reason = "backoff-expired"    // nothing was heard for a whole backoff
)

// ReconcileEvent is the data of the CloudEvent that asks adapters to look at a
// resource. It carries no state: adapters read the resource again.
type ReconcileEvent struct {
	ResourceType ResourceType `json:"resourceType"`
	ResourceID   string       `json:"resourceId"`
	Reason       Reason       `json:"reason"`
	Generation   int64        `json:"generation"`
}

// DueItem is a resource that is due, in brief.
type DueItem struct {
	ID                 string `json:"id"`
	Generation         int64  `json:"generation"`
	Phase              Phase  `json:"phase"`
	LastTransitionTime Time   `json:"lastTransitionTime"`
	Reason             Reason `json:"reason"`
	Token              string `json:"token"` // opaque; given back in Published once the broker has confirmed
}

// DueList is one page of what is due: woken first, then longest due, then id.
type DueList struct {
	Kind     string    `json:"kind"`
	Items    []DueItem `json:"items"`
	Continue string    `json:"continue,omitempty"`
	AsOf     Time      `json:"asOf"` // the database's clock; becomes the events' time
}

// Published records that events of these due items were confirmed by the broker.
type Published struct {
	Tokens          []string `json:"tokens"`
	BackoffNotReady string   `json:"backoffNotReady"` // Go duration
	BackoffReady    string   `json:"backoffReady"`    // Go duration
}
