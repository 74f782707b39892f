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

// createDemo creates the three demo clusters; those that an earlier run on the
// same data directory created stay as they are.
func createDemo(ctx context.Context, api *client.Client) error {
	var clusters []fleet.NewResource
	if err := json.Unmarshal(demoClusters, &clusters); err != nil {
		return fmt.Errorf("read the demo clusters: %w", err)
	}
	for _, c := range clusters {
		if _, err := api.Create(ctx, fleet.Clusters, c); err != nil && fleet.ErrorCode(err) != fleet.NameTaken {
			return fmt.Errorf("create demo cluster %s: %w", c.Name, err)
		}
	}
	return nil
}
