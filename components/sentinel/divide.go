package sentinel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// shownIDs is how many ids are told, as the API does.
const shownIDs = 100

// lister is where the fleet is.
type lister interface {
	List(ctx context.Context, typ fleet.ResourceType, o client.ListOptions) (fleet.List, error)
}

// division is how SentinelConfigs divide what was added to it.
type division struct {
	fleet.Coverage
	selectors []labels.Selector // of the shards, in their order
}

// divide reads the whole fleet, page by page, and says how the given configs
// would divide it. Nothing is due for shards that do not run.
func divide(ctx context.Context, api lister, typ fleet.ResourceType, configs []v1alpha1.SentinelConfig) (fleet.Coverage, error) {
	d, err := newDivision(typ, configs)
	if err != nil {
		return fleet.Coverage{}, err
	}
	o := client.ListOptions{Limit: 1000}
	for {
		page, err := patiently(ctx, api, typ, o)
		if err != nil {
			return fleet.Coverage{}, err
		}
		for _, r := range page.Items {
			d.add(r.ID, r.Labels)
		}
		d.AsOf = page.AsOf
		if o.Continue = page.Continue; o.Continue == "" {
			slices.Sort(d.Uncovered.IDs)
			slices.Sort(d.Overlapping.IDs)
			return d.Coverage, nil
		}
	}
}

// patiently asks for a page, again where the API asks for patience: the rate of
// a person's requests is limited.
func patiently(ctx context.Context, api lister, typ fleet.ResourceType, o client.ListOptions) (fleet.List, error) {
	for {
		page, err := api.List(ctx, typ, o)
		var problem *fleet.Error
		if !errors.As(err, &problem) || problem.Code != fleet.RateLimited {
			return page, err
		}
		select {
		case <-time.After(max(problem.RetryAfter, time.Second)):
		case <-ctx.Done():
			return page, err
		}
	}
}

func newDivision(typ fleet.ResourceType, configs []v1alpha1.SentinelConfig) (*division, error) {
	d := &division{Coverage: fleet.Coverage{Kind: "Coverage", ResourceType: typ, Uncovered: fleet.Found{IDs: []string{}},
		Overlapping: fleet.Found{IDs: []string{}}, Shards: []fleet.ShardCoverage{}}}
	configs = slices.Clone(configs)
	slices.SortFunc(configs, func(a, b v1alpha1.SentinelConfig) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range configs {
		if c.Spec.ResourceType != string(typ) {
			continue
		}
		selector, err := c.Selector()
		if err != nil {
			return nil, fmt.Errorf("SentinelConfig %q: %w", c.Name, err)
		}
		d.Shards = append(d.Shards, fleet.ShardCoverage{Name: c.Name, Selector: selector.String()})
		d.selectors = append(d.selectors, selector)
	}
	return d, nil
}

// add counts one resource.
func (d *division) add(id string, l map[string]string) {
	d.Total++
	var matching []int
	for i, s := range d.selectors {
		if s.Matches(labels.Set(l)) {
			matching = append(matching, i)
			d.Shards[i].Matched++
		}
	}
	switch {
	case len(matching) == 0:
		keep(&d.Uncovered, id)
	case len(matching) > 1:
		keep(&d.Overlapping, id)
		for _, i := range matching {
			d.Shards[i].Overlapping++
		}
	}
}

// keep counts id and keeps it if it is among the first in the order of ids.
func keep(f *fleet.Found, id string) {
	f.Count++
	if len(f.IDs) < shownIDs {
		f.IDs = append(f.IDs, id)
		return
	}
	last := 0
	for i := range f.IDs {
		if f.IDs[i] > f.IDs[last] {
			last = i
		}
	}
	if id < f.IDs[last] {
		f.IDs[last] = id
	}
}
