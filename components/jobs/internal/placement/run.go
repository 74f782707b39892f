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
func Run(ctx context.Context, in Inventory, c fleet.Resource, path string) (string, Data, error) {
	w, err := want(c)
	if err != nil {
		return "", Data{}, err
	}
	unlock, err := disk.Lock(ctx, path)
	if err != nil {
		return "", Data{}, err
	}
	defer unlock()
	text, err := disk.Read(path)
	if err != nil {
		return "", Data{}, err
	}
	var a assignments
	if text != nil {
		if err := json.Unmarshal(text, &a); err != nil {
			return "", Data{}, fmt.Errorf("read the assignments in %s: %w", path, err)
		}
	}
	if a.Assignments == nil {
		a.Assignments = map[string]string{}
	}
	before := a.Assignments[c.ID]
	m, err := Choose(in, a.Assignments, w)
	if err != nil {
		return "", Data{}, err
	}
	a.Assignments[c.ID] = m.Name
	if text, err = json.MarshalIndent(a, "", "  "); err != nil {
		return "", Data{}, fmt.Errorf("encode the assignments: %w", err)
	}
	if _, err := disk.Write(path, append(text, '\n'), disk.Readable); err != nil {
		return "", Data{}, err
	}
	message := fmt.Sprintf("placed on %s in %s", m.Name, m.Zone)
	if before != "" && before != m.Name {
		message += ", moved from " + before
	}
	return message, Data{m.Name, m.Region, m.Zone, m.ProviderRegion}, nil
}
