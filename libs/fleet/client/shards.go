package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// shards is no resource type, but its paths are made alike.
const shards fleet.ResourceType = "shards"

// HoldShard registers or renews a shard. While another holder is live the
// error is fleet.ShardHeld.
func (c *Client) HoldShard(ctx context.Context, name string, in fleet.NewShard) (fleet.Shard, error) {
	var out fleet.Shard
	err := c.do(ctx, call{method: http.MethodPut, path: path(shards, name), body: in, answer: &out})
	return out, err
}

// Shard reads a shard's registration.
func (c *Client) Shard(ctx context.Context, name string) (fleet.Shard, error) {
	var out fleet.Shard
	err := c.do(ctx, call{method: http.MethodGet, path: path(shards, name), answer: &out})
	return out, err
}

// Shards reads one page of shards by name, of one resource type or, where typ
// is empty, of all. limit 0 is the API's default.
func (c *Client) Shards(ctx context.Context, typ fleet.ResourceType, limit int, cont string) (fleet.ShardList, error) {
	q := url.Values{}
	set(q, "resourceType", string(typ))
	page(q, limit, cont)
	var out fleet.ShardList
	err := c.do(ctx, call{method: http.MethodGet, path: path(shards), query: q, answer: &out})
	return out, err
}

// ReleaseShard takes a shard's registration away, if that holder has it; an
// admin may leave the holder empty.
func (c *Client) ReleaseShard(ctx context.Context, name, holder string) error {
	q := url.Values{}
	set(q, "holder", holder)
	return c.do(ctx, call{method: http.MethodDelete, path: path(shards, name), query: q})
}

// Coverage says how the live shards of a resource type divide its resources.
func (c *Client) Coverage(ctx context.Context, typ fleet.ResourceType) (fleet.Coverage, error) {
	var out fleet.Coverage
	err := c.do(ctx, call{method: http.MethodGet, path: path(shards, "coverage"), query: url.Values{"resourceType": {string(typ)}}, answer: &out})
	return out, err
}
