package registry

import (
	"slices"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// circle finds adapters that wait for each other on resources of type t: the
// names from one adapter back to itself, nil where there are none. Who does not
// handle t does not count there.
func circle(known []fleet.Adapter, t fleet.ResourceType, name string) []string {
	dependencies := map[string][]string{}
	for _, a := range known {
		if slices.Contains(a.ResourceTypes, t) {
			dependencies[a.Name] = a.Dependencies
		}
	}
	seen := map[string]bool{}
	var walk func(path []string) []string
	walk = func(path []string) []string {
		for _, next := range dependencies[path[len(path)-1]] {
			if next == name {
				return append(path, next)
			}
			if seen[next] {
				continue
			}
			seen[next] = true
			if found := walk(append(path, next)); found != nil {
				return found
			}
		}
		return nil
	}
	return walk([]string{name})
}
