package fleet

import "slices"

// Adapter is what the API knows of an adapter: the union of what its instances
// registered, and where it is required. A required adapter that no instance
// registered is known as well, with no instances.
type Adapter struct {
	Name          string            `json:"name"`
	Kind          string            `json:"kind"` // "Adapter"
	RequiredFor   []ResourceType    `json:"requiredFor"`
	ResourceTypes []ResourceType    `json:"resourceTypes"`
	Dependencies  []string          `json:"dependencies"` // adapters that must be Complete before it starts
	HasDeletion   bool              `json:"hasDeletion"`  // it has something to do when a resource is deleted
	Instances     []AdapterInstance `json:"instances"`
}

// AdapterInstance is one running configuration of an adapter.
type AdapterInstance struct {
	NewAdapterInstance
	UpdatedAt Time `json:"updatedAt"` // when it registered last
}

// NewAdapterInstance is the body with which an adapter registers.
type NewAdapterInstance struct {
	Instance      string         `json:"instance"` // <region or Kubernetes>/<namespace>/<config>
	ResourceTypes []ResourceType `json:"resourceTypes"`
	Dependencies  []string       `json:"dependencies,omitempty"`
	HasDeletion   bool           `json:"hasDeletion,omitempty"`
	Version       string         `json:"version,omitempty"`
	DeadLetters   DeadLetters    `json:"deadLetters,omitzero"`
}

// DeadLetters is what lies in an adapter's dead letters.
type DeadLetters struct {
	Count  int64 `json:"count"`
	Oldest *Time `json:"oldest,omitempty"` // nil = there is none, or the broker does not tell
}

// AdapterList is every adapter, by name.
type AdapterList struct {
	Kind  string    `json:"kind"`
	Items []Adapter `json:"items"`
	AsOf  Time      `json:"asOf"`
}

// Registered says whether an instance of a has registered.
func (a Adapter) Registered() bool { return len(a.Instances) > 0 }

// Participants returns the adapters that take part in the deletion of a
// resource: those that its type requires, and every one registered with
// HasDeletion for the type that has reported on the resource. Deletion is over
// when each is Complete for the generation of the deletion. known is every
// adapter; the answer is in its order.
func Participants(t ResourceType, known []Adapter, reported []AdapterStatus) []Adapter {
	var part []Adapter
	for _, a := range known {
		has := slices.ContainsFunc(reported, func(r AdapterStatus) bool { return r.AdapterName == a.Name })
		if slices.Contains(a.RequiredFor, t) || has && a.deletes(t) {
			part = append(part, a)
		}
	}
	return part
}

// deletes says whether an instance has something to do when a resource of type
// t is deleted; another instance may be about other types.
func (a Adapter) deletes(t ResourceType) bool {
	return slices.ContainsFunc(a.Instances, func(i AdapterInstance) bool {
		return i.HasDeletion && slices.Contains(i.ResourceTypes, t)
	})
}
