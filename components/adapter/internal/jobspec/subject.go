package jobspec

import (
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Subject is what an event, and the Job that follows from it, is about.
type Subject struct {
	Type     fleet.ResourceType
	Resource fleet.Resource  // with its adapters' messages and data in full
	Owner    *fleet.Resource // what Resource belongs to; nil for types without an owner
}

// ClusterID is the id of the cluster that s is, or belongs to.
func (s Subject) ClusterID() string {
	if owner := s.Resource.OwnerID(); owner != "" {
		return owner
	}
	return s.Resource.ID
}

// Documents returns what there is to know of s, by the names that expressions
// and files have for it: cluster, and for a pool also nodepool.
func (s Subject) Documents() map[string]fleet.Resource {
	info, _ := s.Type.Info()
	all := map[string]fleet.Resource{Noun(info): s.Resource}
	if owner, ok := info.Owner.Info(); ok && s.Owner != nil {
		all[Noun(owner)] = *s.Owner
	}
	return all
}

// Noun is what expressions call a resource of the type.
func Noun(t fleet.TypeInfo) string { return strings.ToLower(t.Kind) }

// File is the name of the file in a Job's input that holds the resource of the
// type, as the API answers it.
func File(t fleet.ResourceType) string {
	info, _ := t.Info()
	return Noun(info) + ".json"
}
