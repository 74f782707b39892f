package hypershift

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// RunPool writes the manifest of one pool of c.
func RunPool(c, pool fleet.Resource, o Options) (string, Data, error) {
	text, err := RenderPool(c, pool, o)
	if err != nil {
		return "", Data{}, err
	}
	if _, err := o.Files.Write(o.Path, text, disk.Readable); err != nil {
		return "", Data{}, err
	}
	return "described the node pool", Data{o.Shown, o.Namespace}, nil
}

// RenderPool returns the manifest of one pool of c. A pool without a version
// has its cluster's.
func RenderPool(c, pool fleet.Resource, o Options) ([]byte, error) {
	var s spec
	if err := json.Unmarshal(c.Spec, &s); err != nil {
		return nil, fmt.Errorf("read the cluster's spec: %w", err)
	}
	own := struct {
		nodePool
		Version string `json:"version"`
	}{}
	if err := json.Unmarshal(pool.Spec, &own); err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	version := cmp.Or(own.Version, s.Version)
	if version == "" {
		return nil, errors.New("the node pool cannot be described: version: missing in its spec and in the cluster's")
	}
	on, err := platformOf(s.Provider)
	if err != nil {
		return nil, err
	}
	meta := metadata(pool, c.Name+"-"+pool.Name, o.Namespace)
	meta.Labels = map[string]string{"hyperfleet.redhat.com/cluster-id": c.ID, "hyperfleet.redhat.com/nodepool-id": pool.ID}
	return manifest.YAML(nodePoolObject(c, s, own.nodePool, meta, o.image(version, s.Architecture), on))
}
