package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Report stores an adapter's report. Repeating it after an unknown outcome is
// safe: an identical report is folded into the stored one.
func (c *Client) Report(ctx context.Context, typ fleet.ResourceType, id string, in fleet.NewReport) (fleet.Report, error) {
	var out fleet.Report
	err := c.do(ctx, call{method: http.MethodPost, path: path(typ, id, "statuses"), body: in, answer: &out})
	return out, err
}

// Reports reads one page of a resource's history, newest first. adapter
// narrows it to one adapter unless empty; limit is 1 to 1000, 0 for the API's
// default; cont is the Continue of the page before.
func (c *Client) Reports(ctx context.Context, typ fleet.ResourceType, id, adapter string, limit int, cont string) (fleet.ReportList, error) {
	q := url.Values{}
	set(q, "adapter", adapter)
	page(q, limit, cont)
	var out fleet.ReportList
	err := c.do(ctx, call{method: http.MethodGet, path: path(typ, id, "statuses"), query: q, answer: &out})
	return out, err
}
