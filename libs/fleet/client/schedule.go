package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// DueOptions says what counts as due.
type DueOptions struct {
	Selector string        // Kubernetes label selector; "" = everything
	Backoff  fleet.Backoff // not negative
	Which    string        // "true" (the default), or only "woken" or "expired"
	Limit    int           // items per page, 1 to 1000; 0 = the API's default
	Continue string        // the Continue of the page before
}

// Due reads one page of what is due: woken first, then longest due, then id.
func (c *Client) Due(ctx context.Context, typ fleet.ResourceType, o DueOptions) (fleet.DueList, error) {
	q := url.Values{"view": {"brief"}, "due": {"true"},
		"backoffNotReady": {o.Backoff.NotReady.String()}, "backoffReady": {o.Backoff.Ready.String()}}
	set(q, "due", o.Which)
	set(q, "labelSelector", o.Selector)
	page(q, o.Limit, o.Continue)
	var out fleet.DueList
	if err := c.do(ctx, call{method: http.MethodGet, path: path(typ), query: q, answer: &out, strict: true, quick: out.ReadJSON}); err != nil {
		return fleet.DueList{}, err
	}
	if out.Kind != "DueList" || out.Items == nil || out.AsOf.IsZero() { // an empty object must not read as "nothing due"
		return fleet.DueList{}, fleet.Errorf(fleet.Internal, "GET /v1/%s: the answer is no list of what is due", path(typ))
	}
	return out, nil
}

// Published records that the broker confirmed events of these due items.
func (c *Client) Published(ctx context.Context, typ fleet.ResourceType, p fleet.Published) error {
	return c.do(ctx, call{method: http.MethodPost, path: path(typ, "published"), body: p})
}
