package placement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Outcome is where a simulated fleet ends.
type Outcome struct {
	Clusters int         `json:"clusters"`
	Unplaced []Unplaced  `json:"unplaced"`
	Places   []PlaceUsed `json:"places"` // in the inventory's order
}

// Unplaced is a cluster that no place takes.
type Unplaced struct {
	Cluster string `json:"cluster"`
	Why     string `json:"why"`
}

// PlaceUsed is how full a management cluster is in the end.
type PlaceUsed struct {
	Name     string  `json:"name"`
	Used     int     `json:"used"`
	Capacity int     `json:"capacity"`
	Share    float64 `json:"share"` // used of capacity; 0 where there is no capacity
}

// Simulate places a fleet, cluster after cluster, on an inventory that begins
// empty. Clusters without an id have their number for one.
func Simulate(ctx context.Context, in Inventory, clusters []fleet.Resource) (Outcome, error) {
	o := Outcome{Clusters: len(clusters), Unplaced: []Unplaced{}}
	l := NewLedger(nil)
	for i, c := range clusters {
		if err := ctx.Err(); err != nil {
			return Outcome{}, err
		}
		if c.ID == "" {
			c.ID = fmt.Sprintf("#%d", i)
		}
		w, err := want(c)
		if err != nil {
			return Outcome{}, fmt.Errorf("cluster %d: %w", i, err)
		}
		choice, err := Choose(in, l, w)
		if err != nil {
			o.Unplaced = append(o.Unplaced, Unplaced{c.ID, err.Error()})
			continue
		}
		l.Put(c.ID, Place{choice.Chosen.Name, c.Tenant})
	}
	for _, m := range in.ManagementClusters {
		p := PlaceUsed{Name: m.Name, Used: l.Used(m.Name), Capacity: m.Capacity}
		if m.Capacity > 0 {
			p.Share = float64(p.Used) / float64(p.Capacity)
		}
		o.Places = append(o.Places, p)
	}
	return o, nil
}

// ReadFleet reads clusters as the API's lists have them: one JSON document after
// another, each a cluster or an object with items.
func ReadFleet(r io.Reader) ([]fleet.Resource, error) {
	var all []fleet.Resource
	d := json.NewDecoder(r)
	for {
		var page struct {
			fleet.Resource
			Items []fleet.Resource `json:"items"`
		}
		err := d.Decode(&page)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read document %d of the fleet: %w", len(all), err)
		}
		if page.Items == nil {
			page.Items = []fleet.Resource{page.Resource}
		}
		all = append(all, page.Items...)
	}
}

// Spread is the least and the largest share of capacity that is used.
func (o Outcome) Spread() (least, most float64) {
	shares := []float64{}
	for _, p := range o.Places {
		if p.Capacity > 0 {
			shares = append(shares, p.Share)
		}
	}
	if len(shares) == 0 {
		return 0, 0
	}
	return slices.Min(shares), slices.Max(shares)
}
