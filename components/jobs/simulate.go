package jobs

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/placement"
)

// simulatePlacement is the command that places a whole fleet on paper.
func simulatePlacement() *cobra.Command {
	var inventory, output string
	c := &cobra.Command{
		Use:   "simulate FLEET",
		Short: "Place the clusters of a file, as the API's lists have them, on an inventory that begins empty",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, text, err := shippedOr(inventory, placement.Default)
			if err != nil {
				return fmt.Errorf("read the inventory: %w", err)
			}
			in, err := placement.Load(name, text)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("open the fleet: %w", err)
			}
			defer f.Close()
			clusters, err := placement.ReadFleet(f)
			if err != nil {
				return err
			}
			o, err := placement.Simulate(cmd.Context(), in, clusters)
			if err != nil {
				return err
			}
			if err := show(cmd, o, output); err != nil {
				return err
			}
			if len(o.Unplaced) > 0 {
				return fmt.Errorf("%d of %d clusters found no place", len(o.Unplaced), o.Clusters)
			}
			return nil
		},
	}
	c.Flags().StringVar(&inventory, "inventory", "", "file of management clusters (default: the shipped one)")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func show(cmd *cobra.Command, o placement.Outcome, output string) error {
	switch output {
	case "json":
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(o)
	case "table":
	default:
		return fmt.Errorf("output %q: want table or json", output)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MANAGEMENT CLUSTER\tUSED\tCAPACITY\tSHARE")
	for _, p := range o.Places {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f %%\n", p.Name, p.Used, p.Capacity, 100*p.Share)
	}
	least, most := o.Spread()
	fmt.Fprintf(w, "\n%d of %d clusters placed; shares from %.1f %% to %.1f %%\n", o.Clusters-len(o.Unplaced), o.Clusters, 100*least, 100*most)
	for _, u := range o.Unplaced {
		fmt.Fprintf(w, "no place for %s: %s\n", u.Cluster, u.Why)
	}
	return w.Flush()
}
