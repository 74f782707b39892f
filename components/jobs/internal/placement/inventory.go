package placement

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"sigs.k8s.io/yaml"
)

// Default is the shipped inventory.
//
//go:embed default.yaml
var Default []byte

// Inventory is the management clusters that there are.
type Inventory struct {
	Weights            *Weights            `json:"weights"` // nil = [DefaultWeights]
	ManagementClusters []ManagementCluster `json:"managementClusters"`
}

// ManagementCluster is one place for control planes.
type ManagementCluster struct {
	Name           string            `json:"name"`
	Region         string            `json:"region"`         // HyperFleet's name of the region
	Provider       string            `json:"provider"`       //
	ProviderRegion string            `json:"providerRegion"` // the provider's name of the region
	Zone           string            `json:"zone"`           // the provider's name of the zone
	Architectures  []string          `json:"architectures"`  // of the nodes that it can serve
	Capacity       int               `json:"capacity"`       // control planes
	Maintenance    bool              `json:"maintenance"`    // takes no new ones
	LatencyClass   string            `json:"latencyClass"`   // low, medium (if "") or high
	Cost           float64           `json:"cost"`           // of a control plane, in any unit; 0 = nobody knows
	Labels         map[string]string `json:"labels"`
	Taints         map[string]string `json:"taints"` // only for clusters whose placement.requiredLabels say the same
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Load reads an inventory. The error names every problem. name is the file's.
func Load(name string, text []byte) (Inventory, error) {
	var in Inventory
	if err := yaml.UnmarshalStrict(text, &in); err != nil {
		return Inventory{}, fmt.Errorf("read inventory %s: %w", name, err)
	}
	var problems []error
	seen := map[string]bool{}
	if w := in.Weights; w != nil && min(w.Free, w.TenantSpread, w.Zones, w.Latency, w.Cost) < 0 {
		problems = append(problems, errors.New("weights: want 0 or more"))
	}
	for i, m := range in.ManagementClusters {
		bad := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("managementClusters[%d] %s: %s", i, m.Name, fmt.Sprintf(format, args...)))
		}
		if !nameForm.MatchString(m.Name) {
			bad("name: want at most 63 lower-case letters, digits and dashes")
		}
		if seen[m.Name] {
			bad("name: stands twice")
		}
		seen[m.Name] = true
		for _, field := range [][2]string{{"region", m.Region}, {"provider", m.Provider}, {"providerRegion", m.ProviderRegion}, {"zone", m.Zone}} {
			if field[1] == "" {
				bad("%s: missing", field[0])
			}
		}
		if len(m.Architectures) == 0 || slices.Contains(m.Architectures, "") {
			bad("architectures: want at least one, such as amd64")
		}
		if m.Capacity < 0 {
			bad("capacity: want 0 or more")
		}
		if _, ok := latencyClasses[m.LatencyClass]; !ok {
			bad("latencyClass %q: want low, medium or high", m.LatencyClass)
		}
		if m.Cost < 0 {
			bad("cost: want 0 or more")
		}
	}
	if len(in.ManagementClusters) == 0 {
		problems = append(problems, errors.New("managementClusters: none"))
	}
	if err := errors.Join(problems...); err != nil {
		return Inventory{}, fmt.Errorf("inventory %s: %w", name, err)
	}
	return in, nil
}
