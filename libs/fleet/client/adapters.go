package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// adapters is no resource type, but its paths are made alike.
const adapters fleet.ResourceType = "adapters"

// Register says what one instance of an adapter is; the answer is the adapter
// as all its instances make it.
func (c *Client) Register(ctx context.Context, name string, in fleet.NewAdapterInstance) (fleet.Adapter, error) {
	var out fleet.Adapter
	err := c.do(ctx, call{method: http.MethodPut, path: path(adapters, name), body: in, answer: &out})
	return out, err
}

// Adapter reads an adapter that is registered, or required.
func (c *Client) Adapter(ctx context.Context, name string) (fleet.Adapter, error) {
	var out fleet.Adapter
	err := c.do(ctx, call{method: http.MethodGet, path: path(adapters, name), answer: &out})
	return out, err
}

// Adapters reads every adapter that is registered, or required, by name.
func (c *Client) Adapters(ctx context.Context) (fleet.AdapterList, error) {
	var out fleet.AdapterList
	err := c.do(ctx, call{method: http.MethodGet, path: path(adapters), answer: &out})
	return out, err
}

// Unregister takes one instance of an adapter out of the registry, or all of
// them where instance is empty.
func (c *Client) Unregister(ctx context.Context, name, instance string) error {
	q := url.Values{}
	set(q, "instance", instance)
	return c.do(ctx, call{method: http.MethodDelete, path: path(adapters, name), query: q})
}
