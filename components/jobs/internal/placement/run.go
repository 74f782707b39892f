package placement

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Data is what the job returns.
type Data struct {
	ManagementCluster string `json:"managementCluster"`
	Region            string `json:"region"`
	Zone              string `json:"zone"`
	ProviderRegion    string `json:"providerRegion"`
}

// assignments is the file that remembers who is where.
type assignments struct {
	Assignments map[string]string `json:"assignments"` // cluster id -> management cluster
}

// want reads from a spec what placement depends on.
func want(c fleet.Resource) (Wanted, error) {
	var spec struct {
		Region       string `json:"region"`
		Provider     string `json:"provider"`
		Architecture string `json:"architecture"`
		NodePools    []struct {
			Zones []string `json:"zones"`
		} `json:"nodePools"`
		Placement struct {
			RequiredLabels    map[string]string `json:"requiredLabels"`
			ManagementCluster string            `json:"managementCluster"`
		} `json:"placement"`
	}
	if err := json.Unmarshal(c.Spec, &spec); err != nil {
		return Wanted{}, fmt.Errorf("read spec: %w", err)
	}
	w := Wanted{Cluster: c.ID, Region: spec.Region, Provider: spec.Provider, Architecture: spec.Architecture,
		RequiredLabels: spec.Placement.RequiredLabels, Pinned: spec.Placement.ManagementCluster}
	for _, p := range spec.NodePools {
		w.Zones = append(w.Zones, p.Zones...)
	}
	return w, nil
}

// Run chooses c's place and records it in path.
func Run(ctx context.Context, in Inventory, c fleet.Resource, path string, files disk.Files) (string, Data, error) {
	w, err := want(c)
	if err != nil {
		return "", Data{}, err
	}
	var m ManagementCluster
	var before string
	err = change(ctx, path, files, func(assigned map[string]string) error {
		before = assigned[c.ID]
		if m, err = Choose(in, assigned, w); err == nil {
			assigned[c.ID] = m.Name
		}
		return err
	})
	if err != nil {
		return "", Data{}, err
	}
	message := fmt.Sprintf("placed on %s in %s", m.Name, m.Zone)
	if before != "" && before != m.Name {
		message += ", moved from " + before
	}
	return message, Data{m.Name, m.Region, m.Zone, m.ProviderRegion}, nil
}

// Release frees the place that Run recorded.
func Release(ctx context.Context, cluster, path string, files disk.Files) (string, error) {
	var on string
	err := change(ctx, path, files, func(assigned map[string]string) error {
		on = assigned[cluster]
		delete(assigned, cluster)
		return nil
	})
	if err != nil {
		return "", err
	}
	if on == "" {
		return "there was no place", nil
	}
	return "freed the place on " + on, nil
}

// change edits the assignments in path under their lock.
func change(ctx context.Context, path string, files disk.Files, edit func(map[string]string) error) error {
	unlock, err := files.Lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := disk.Read(path)
	if err != nil {
		return err
	}
	var a assignments
	if text != nil {
		if err := json.Unmarshal(text, &a); err != nil {
			return fmt.Errorf("read the assignments in %s: %w", path, err)
		}
	}
	if a.Assignments == nil {
		a.Assignments = map[string]string{}
	}
	if err := edit(a.Assignments); err != nil {
		return err
	}
	if text, err = json.MarshalIndent(a, "", "  "); err != nil {
		return fmt.Errorf("encode the assignments: %w", err)
	}
	_, err = files.Write(path, append(text, '\n'), disk.Readable)
	return err
}
