package fleet

import "encoding/json"

// Resource is one thing that the fleet keeps moving to its desired state. Its
// JSON is what the API answers. Code is written over Resource and
// [ResourceType], so that a further type is an entry in [Types].
type Resource struct {
	ID              string            `json:"id"` // UUID version 7
	Kind            string            `json:"kind"`
	Href            string            `json:"href"`
	Tenant          string            `json:"tenant"`
	Name            string            `json:"name"`            // RFC 1123 label, unique per tenant and type among the not deleted
	Owner           *Owner            `json:"owner,omitempty"` // nil for types that have none
	Labels          map[string]string `json:"labels"`
	Spec            json.RawMessage   `json:"spec"`
	Paused          bool              `json:"paused"`              // out of the schedule until it is false again
	Protected       bool              `json:"deletion_protection"` // DELETE is refused
	Generation      int64             `json:"generation"`          // starts at 1, rises when spec changes or deletion starts
	ResourceVersion string            `json:"resource_version"`    // m<n>.s<n>: desired state, reports
	Status          Status            `json:"status"`
	CreatedAt       Time              `json:"created_at"`
	UpdatedAt       Time              `json:"updated_at"`                      // moves with desired state only
	DeletionAt      *Time             `json:"deletion_requested_at,omitempty"` // when deletion started
	DeletedAt       *Time             `json:"deleted_at"`                      // when it became a tombstone
}

// Owner is the resource that another one belongs to.
type Owner struct {
	ID   string `json:"id"`
	Kind string `json:"kind,omitempty"`
	Href string `json:"href,omitempty"`
}

// OwnerID returns the id of the resource that r belongs to, "" if there is none.
func (r Resource) OwnerID() string {
	if r.Owner == nil {
		return ""
	}
	return r.Owner.ID
}

// Deleting says whether deletion has started.
func (r Resource) Deleting() bool { return r.DeletionAt != nil }

// NewResource is the body of a create request.
type NewResource struct {
	Name      string            `json:"name"`
	Owner     *Owner            `json:"owner,omitempty"` // its id; only where the path does not name the owner
	Labels    map[string]string `json:"labels,omitempty"`
	Spec      json.RawMessage   `json:"spec,omitempty"`
	Paused    bool              `json:"paused,omitempty"`
	Protected bool              `json:"deletion_protection,omitempty"`
}

// List is one page of resources. Continue is empty on the last page.
type List struct {
	Kind     string     `json:"kind"`
	Items    []Resource `json:"items"`
	Total    *int64     `json:"total,omitempty"` // of a whole walk, where it was asked for
	Continue string     `json:"continue,omitempty"`
	AsOf     Time       `json:"asOf"`
}

// Status is what the API knows of a resource's progress: the roll-up of its
// adapters' latest reports.
type Status struct {
	Phase              Phase           `json:"phase"`
	LastTransitionTime Time            `json:"lastTransitionTime"`
	ObservedGeneration int64           `json:"observedGeneration"` // newest generation reported on; 0 = none
	Adapters           []AdapterStatus `json:"adapters"`
	Conditions         []Condition     `json:"conditions"`
}

// Adapter returns the latest report of the named adapter in short.
func (s Status) Adapter(name string) (AdapterStatus, bool) {
	for _, a := range s.Adapters {
		if a.AdapterName == name {
			return a, true
		}
	}
	return AdapterStatus{}, false
}

// AdapterStatus is one adapter's latest report as a resource's status carries
// it. In lists the message is cut to 256 bytes and Data is left out.
type AdapterStatus struct {
	AdapterName        string          `json:"adapter_name"`
	Phase              ReportPhase     `json:"phase"`
	ObservedGeneration int64           `json:"observed_generation"`
	Attempt            int             `json:"attempt"`
	AttemptBase        int             `json:"attempt_base,omitempty"`
	RetryAt            *Time           `json:"retry_at"`
	CheckedAt          *Time           `json:"checked_at,omitempty"`
	Message            string          `json:"message"`
	LastTransitionTime Time            `json:"last_transition_time"`
	Data               json.RawMessage `json:"data,omitempty"`
}

// Condition is a Kubernetes-style condition of a resource.
type Condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"` // True, False, Unknown
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
	LastTransitionTime Time   `json:"lastTransitionTime"`
}
