package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// AuditOptions narrows the audit. The zero value is everything, page by page.
type AuditOptions struct {
	Principal    string
	Action       fleet.Action
	ResourceType string // clusters, nodepools, shards, adapters
	ResourceID   string
	Since, Until time.Time // at or after, before; zero = no bound
	Limit        int       // items per page, 1 to 1000; 0 = the API's default
	Continue     string    // the Continue of the page before
}

// Audit reads one page of what users did, newest first.
func (c *Client) Audit(ctx context.Context, o AuditOptions) (fleet.AuditList, error) {
	q := url.Values{}
	set(q, "principal", o.Principal)
	set(q, "action", string(o.Action))
	set(q, "resourceType", o.ResourceType)
	set(q, "resourceId", o.ResourceID)
	for name, at := range map[string]time.Time{"since": o.Since, "until": o.Until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	page(q, o.Limit, o.Continue)
	var out fleet.AuditList
	err := c.do(ctx, call{method: http.MethodGet, path: path("audit"), query: q, answer: &out})
	return out, err
}
