package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Option says more about one request.
type Option func(http.Header)

// IfMatch lets a change happen only while the desired state is that of the
// given resource_version; else the error is fleet.StaleVersion.
func IfMatch(resourceVersion string) Option {
	return func(h http.Header) { h.Set("If-Match", tag(resourceVersion)) }
}

// IdempotencyKey makes a create request safe to repeat for a day: under the
// same key, 1 to 128 visible ASCII characters, the same request is answered as
// the first time, and another one is fleet.KeyReused.
func IdempotencyKey(key string) Option {
	return func(h http.Header) { h.Set("Idempotency-Key", key) }
}

func tag(resourceVersion string) string { return `"` + resourceVersion + `"` }

// Create stores a new resource.
func (c *Client) Create(ctx context.Context, typ fleet.ResourceType, in fleet.NewResource, options ...Option) (fleet.Resource, error) {
	var out fleet.Resource
	err := c.do(ctx, call{method: http.MethodPost, path: path(typ), options: options, body: in, answer: &out})
	return out, err
}

// CreateIn stores a new resource that belongs to the one of type owner with
// the given id, such as a node pool of a cluster.
func (c *Client) CreateIn(ctx context.Context, owner fleet.ResourceType, id string, typ fleet.ResourceType, in fleet.NewResource, options ...Option) (fleet.Resource, error) {
	var out fleet.Resource
	err := c.do(ctx, call{method: http.MethodPost, path: path(owner, id, string(typ)), options: options, body: in, answer: &out})
	return out, err
}

// Get reads a resource, with its adapters' messages and data in full.
func (c *Client) Get(ctx context.Context, typ fleet.ResourceType, id string) (fleet.Resource, error) {
	var out fleet.Resource
	err := c.do(ctx, call{method: http.MethodGet, path: path(typ, id), answer: &out})
	return out, err
}

// GetIfChanged is Get for a caller that knows the resource in the given
// resource_version. Where it is still that, changed is false and nothing was read.
func (c *Client) GetIfChanged(ctx context.Context, typ fleet.ResourceType, id, resourceVersion string) (out fleet.Resource, changed bool, err error) {
	unless := func(h http.Header) { h.Set("If-None-Match", tag(resourceVersion)) }
	err = c.do(ctx, call{method: http.MethodGet, path: path(typ, id), options: []Option{unless}, answer: &out})
	if errors.Is(err, errNotModified) {
		return out, false, nil
	}
	return out, err == nil, err
}

// Patch applies a JSON Merge Patch (RFC 7396) over labels, spec, paused and
// deletion_protection; patch is anything that marshals to one.
func (c *Client) Patch(ctx context.Context, typ fleet.ResourceType, id string, patch any, options ...Option) (fleet.Resource, error) {
	var out fleet.Resource
	err := c.do(ctx, call{method: http.MethodPatch, path: path(typ, id), media: "application/merge-patch+json", options: options, body: patch, answer: &out})
	return out, err
}

// Delete starts the deletion of a resource and of what belongs to it. It is
// over when Get answers fleet.NotFound.
func (c *Client) Delete(ctx context.Context, typ fleet.ResourceType, id string, options ...Option) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path(typ, id), options: options})
}

// ForceDelete deletes a resource and what belongs to it now, whatever their
// adapters have left to do.
func (c *Client) ForceDelete(ctx context.Context, typ fleet.ResourceType, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path(typ, id), query: url.Values{"force": {"true"}}})
}

// Pause takes a resource out of the schedule, or brings it back.
func (c *Client) Pause(ctx context.Context, typ fleet.ResourceType, id string, paused bool) (fleet.Resource, error) {
	return c.Patch(ctx, typ, id, map[string]bool{"paused": paused})
}

// Reconcile makes a resource due now, and the named adapters (else the failed
// ones, else all) begin another attempt.
func (c *Client) Reconcile(ctx context.Context, typ fleet.ResourceType, id string, adapters ...string) (fleet.Resource, error) {
	q := url.Values{}
	set(q, "adapter", strings.Join(adapters, ","))
	var out fleet.Resource
	err := c.do(ctx, call{method: http.MethodPost, path: path(typ, id, "reconcile"), query: q, answer: &out})
	return out, err
}

// ListOptions narrows a list. The zero value lists everything, page by page.
type ListOptions struct {
	Selector     string // Kubernetes label selector
	Phase        string // "Ready,Failed" or "!Ready"
	Name         string
	Owner        string    // id of what they belong to
	UpdatedSince time.Time // zero = from the beginning
	Deleted      bool      // also what is deleted
	Count        bool      // the total as well
	Limit        int       // items per page, 1 to 1000; 0 = the API's default
	Continue     string    // the Continue of the page before
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	set(q, "labelSelector", o.Selector)
	set(q, "phase", o.Phase)
	set(q, "name", o.Name)
	set(q, "owner", o.Owner)
	if !o.UpdatedSince.IsZero() {
		q.Set("updatedSince", o.UpdatedSince.UTC().Format(time.RFC3339Nano))
	}
	if o.Deleted {
		q.Set("deleted", "true")
	}
	if o.Count {
		q.Set("count", "true")
	}
	page(q, o.Limit, o.Continue)
	return q
}

// List reads one page of resources.
func (c *Client) List(ctx context.Context, typ fleet.ResourceType, o ListOptions) (fleet.List, error) {
	var out fleet.List
	err := c.do(ctx, call{method: http.MethodGet, path: path(typ), query: o.query(), answer: &out})
	return out, err
}

// All walks over every resource, page after page. It ends at the first error,
// which it yields with an empty resource.
func (c *Client) All(ctx context.Context, typ fleet.ResourceType, o ListOptions) iter.Seq2[fleet.Resource, error] {
	return func(yield func(fleet.Resource, error) bool) {
		for {
			list, err := c.List(ctx, typ, o)
			if err != nil {
				yield(fleet.Resource{}, err)
				return
			}
			for _, r := range list.Items {
				if !yield(r, nil) {
					return
				}
			}
			if list.Continue == "" {
				return
			}
			o.Continue = list.Continue
		}
	}
}

// path joins escaped elements. Ids come from elsewhere (events, people) and
// must not reach another route.
func path(typ fleet.ResourceType, elements ...string) string {
	p := url.PathEscape(string(typ))
	for _, e := range elements {
		if strings.Trim(e, ".") == "" {
			e = "-" + e // "", "." and ".." would be another path; nothing has such an id
		}
		p += "/" + url.PathEscape(e)
	}
	return p
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func page(q url.Values, limit int, cont string) {
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	set(q, "continue", cont)
}

// Schema reads the JSON Schema that judges the spec of a resource type.
func (c *Client) Schema(ctx context.Context, typ fleet.ResourceType) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.do(ctx, call{method: http.MethodGet, path: path("schemas", string(typ)), answer: &out})
	return out, err
}
