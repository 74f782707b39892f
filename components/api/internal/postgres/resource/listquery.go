package resource

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Query says which resources a list holds. Its zero value is everything
// that is not deleted.
type Query struct {
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

func (q Query) fingerprint(t fleet.TypeInfo, sc tenant.Scope) string {
	since := ""
	if q.UpdatedSince != nil {
		since = fleet.At(*q.UpdatedSince).String()
	}
	return page.Fingerprint("list", t.Type, sc.Name(), page.SelectorText(q.Selector), database.JSON(q.Phases),
		q.NotPhases, q.Name, q.Owner, since, q.Deleted)
}
