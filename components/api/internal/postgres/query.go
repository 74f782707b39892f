package postgres

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Scope is the mandatory tenant predicate of a request. The zero Scope sees
// nothing.
type Scope struct {
	all     bool
	tenants []string
}

// AllTenants is the scope of a principal that is bound to no tenant.
func AllTenants() Scope { return Scope{all: true} }

// Tenants is the scope of a principal that is bound to the given tenants.
func Tenants(names ...string) Scope { return Scope{tenants: names} }

// ListQuery says which resources a list holds. Its zero value is everything
// that is not deleted.
type ListQuery struct {
	Selector     labels.Selector // nil = everything
	Phases       []fleet.Phase   // one of these; none = any
	NotPhases    bool            // none of Phases, instead of one of them
	Name         string          // exactly this name
	Owner        string          // only what belongs to the resource with this id
	UpdatedSince *time.Time      // updated_at at or after
	Deleted      bool            // tombstones as well
	Count        bool            // the total as well
	Limit        int             // at most so many; 0 = 100, never more than 1000
	Continue     string          // from the list before
}

// DueQuery says what is asked of the schedule. Woken and Expired are its two
// parts; asking for neither asks for both.
type DueQuery struct {
	Selector labels.Selector // nil = everything
	Backoff  fleet.Backoff
	Woken    bool   // what something woke
	Expired  bool   // what was not heard of for a whole backoff, and is not woken
	Limit    int    // at most so many; 0 = 100, never more than 1000
	Continue string // from the list before
}

// ReportQuery says which entries of a resource's history are asked for.
type ReportQuery struct {
	Adapter  string // only this adapter's; empty = all
	Deleted  bool   // also of what is deleted
	Limit    int    // at most so many; 0 = 100, never more than 1000
	Continue string // from the list before
}
