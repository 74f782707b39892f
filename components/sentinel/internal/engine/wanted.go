package engine

import (
	"fmt"
	"net/http"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// wanted is a config and what its shard needs but the publisher and the
// metrics, which are made when it runs.
type wanted struct {
	config v1alpha1.SentinelConfig
	shard  shard.Config
	api    *client.Client
}

func newWanted(c v1alpha1.SentinelConfig, rt http.RoundTripper, holder string) (*wanted, error) {
	selector, err := c.Selector()
	if err != nil {
		return nil, fmt.Errorf("SentinelConfig %q: %w", c.Name, err)
	}
	api, err := client.New(c.Spec.HyperfleetAPI.URL, rt, c.Spec.HyperfleetAPI.Timeout.Duration)
	if err != nil {
		return nil, fmt.Errorf("SentinelConfig %q: %w", c.Name, err)
	}
	w := &wanted{config: c, api: api, shard: shard.Config{
		Name:         c.Name,
		Holder:       holder,
		Type:         fleet.ResourceType(c.Spec.ResourceType),
		Selector:     selector.String(),
		Backoff:      fleet.Backoff{NotReady: c.Spec.BackoffNotReady.Duration, Ready: c.Spec.BackoffReady.Duration},
		PollInterval: c.Spec.PollInterval.Duration,
	}}
	if most := c.Spec.MaxEventsPerSecond; most != nil {
		w.shard.MaxEventsPerSecond = int(*most)
	}
	return w, nil
}
