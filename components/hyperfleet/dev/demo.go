package dev

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

//go:embed config/demo.json
var demoClusters []byte

// createDemo creates the three demo clusters and their node pools; clusters that
// an earlier run on the same data directory created stay as they are.
func createDemo(ctx context.Context, api *client.Client) error {
	var clusters []struct {
		Cluster fleet.NewResource   `json:"cluster"`
		Pools   []fleet.NewResource `json:"pools"`
	}
	if err := json.Unmarshal(demoClusters, &clusters); err != nil {
		return fmt.Errorf("read the demo clusters: %w", err)
	}
	for _, c := range clusters {
		made, err := api.Create(ctx, fleet.Clusters, c.Cluster)
		if fleet.ErrorCode(err) == fleet.NameTaken {
			continue
		}
		if err != nil {
			return fmt.Errorf("create demo cluster %s: %w", c.Cluster.Name, err)
		}
		for _, pool := range c.Pools {
			if _, err := api.CreateIn(ctx, fleet.Clusters, made.ID, fleet.NodePools, pool); err != nil {
				return fmt.Errorf("create demo node pool %s: %w", pool.Name, err)
			}
		}
	}
	return nil
}
