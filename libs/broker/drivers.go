package broker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Drivers are the kinds of broker that a program has. Each is opened when it is
// first asked for. It is safe for concurrent use.
type Drivers struct {
	has      map[string]Open
	settings Settings
	deps     Deps

	mu     sync.Mutex
	opened map[string]Driver
}

// NewDrivers returns the drivers that has names by type.
func NewDrivers(has map[string]Open, s Settings, deps Deps) *Drivers {
	return &Drivers{has: has, settings: s, deps: deps, opened: map[string]Driver{}}
}

// Get returns the driver of a type.
func (d *Drivers) Get(kind string) (Driver, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if driver := d.opened[kind]; driver != nil {
		return driver, nil
	}
	open := d.has[kind]
	if open == nil {
		return nil, fmt.Errorf("broker.type: this program has no broker of type %q, only %s",
			kind, strings.Join(slices.Sorted(maps.Keys(d.has)), ", "))
	}
	driver, err := open(d.settings, d.deps)
	if err != nil {
		return nil, fmt.Errorf("open broker of type %s: %w", kind, err)
	}
	d.opened[kind] = driver
	return driver, nil
}
