package hypershift

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func metadata(c fleet.Resource, name, namespace string) manifest.Meta {
	return manifest.Meta{Name: name, Namespace: namespace,
		Labels:      map[string]string{"hyperfleet.redhat.com/cluster-id": c.ID},
		Annotations: map[string]string{"hyperfleet.redhat.com/generation": strconv.FormatInt(c.Generation, 10)},
	}
}

// infraID names what a cluster has at its provider: short, because providers
// limit the names made from it, and of one cluster alone.
func infraID(c fleet.Resource) string {
	id := strings.ReplaceAll(c.ID, "-", "")
	return strings.TrimSuffix(c.Name[:min(len(c.Name), 20)], "-") + "-" + id[max(0, len(id)-8):]
}

// channel is the update channel of a version such as 4.16.3.
func channel(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return "stable-" + strings.Join(parts[:min(2, len(parts))], ".")
}

// releaseArch is what release images call an architecture.
func releaseArch(architecture string) string {
	switch architecture {
	case "", "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	default:
		return architecture
	}
}

// regionField is the field of a HostedCluster's platform settings that holds
// the region.
func regionField(platform string) string {
	if platform == "azure" {
		return "location"
	}
	return "region"
}

// sizeField is the field of a NodePool's platform settings that holds the kind
// of machine.
func sizeField(platform string) string {
	switch platform {
	case "azure":
		return "vmSize"
	case "gcp":
		return "machineType"
	default:
		return "instanceType"
	}
}

// empty returns the keys without a value, sorted.
func empty(fields map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), func(k string) bool { return fields[k] != "" })
}
