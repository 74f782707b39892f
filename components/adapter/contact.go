package adapter

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// recently is how long an answer of the API says that it can be reached.
const recently = 15 * time.Second

// adaptersAge is how old the list of adapters may be: they seldom change, and
// most events need it.
const adaptersAge = 2 * time.Second

// contact is the API, and when it last answered. Any answer will do that it
// would not take back a moment later.
type contact struct {
	api  *client.Client
	last atomic.Int64 // Unix nanoseconds

	mu       sync.Mutex
	adapters []fleet.Adapter // as of
	asOf     time.Time
}

func (c *contact) Get(ctx context.Context, typ fleet.ResourceType, id string) (fleet.Resource, error) {
	r, err := c.api.Get(ctx, typ, id)
	c.note(err)
	return r, err
}

func (c *contact) Report(ctx context.Context, typ fleet.ResourceType, id string, r fleet.NewReport) (fleet.Report, error) {
	stored, err := c.api.Report(ctx, typ, id, r)
	c.note(err)
	return stored, err
}

// Adapters answers from memory what it asked for a moment ago.
func (c *contact) Adapters(ctx context.Context) ([]fleet.Adapter, error) {
	c.mu.Lock()
	adapters, asOf := c.adapters, c.asOf
	c.mu.Unlock()
	if time.Since(asOf) < adaptersAge {
		return adapters, nil
	}
	list, err := c.api.Adapters(ctx)
	c.note(err)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adapters, c.asOf = list.Items, time.Now()
	return list.Items, nil
}

func (c *contact) register(ctx context.Context, name string, in fleet.NewAdapterInstance) error {
	_, err := c.api.Register(ctx, name, in)
	c.note(err)
	return err
}

func (c *contact) note(err error) {
	if code := fleet.ErrorCode(err); !code.Passing() && code != fleet.Internal {
		c.last.Store(time.Now().UnixNano())
	}
}

// check says whether the API answered recently; an adapter that had no reason
// to ask does so now.
func (c *contact) check(ctx context.Context) error {
	if time.Since(time.Unix(0, c.last.Load())) < recently {
		return nil
	}
	_, err := c.api.List(ctx, fleet.Clusters, client.ListOptions{Limit: 1})
	c.note(err)
	if err != nil {
		return fmt.Errorf("reach the API: %w", err)
	}
	return nil
}
