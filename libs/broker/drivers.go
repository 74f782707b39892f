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
	opened map[access]Driver
}

// access is a kind of broker and the Secret that leads to it, "" for none.
type access struct{ kind, secret string }

// NewDrivers returns the drivers that has names by type.
func NewDrivers(has map[string]Open, s Settings, deps Deps) *Drivers {
	return &Drivers{has: has, settings: s, deps: deps, opened: map[access]Driver{}}
}

// Get returns the driver of a type, which goes by the program's settings and
// what the mounted Secret of that name, if it is not "", has instead.
func (d *Drivers) Get(kind, secret string) (Driver, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if driver := d.opened[access{kind, secret}]; driver != nil {
		return driver, nil
	}
	open := d.has[kind]
	if open == nil {
		return nil, fmt.Errorf("broker.type: this program has no broker of type %q, only %s",
			kind, strings.Join(slices.Sorted(maps.Keys(d.has)), ", "))
	}
	settings := d.settings
	if secret != "" {
		var err error
		if settings, err = settings.WithSecret(secret); err != nil {
			return nil, err
		}
	}
	driver, err := open(settings, d.deps)
	if err != nil {
		return nil, fmt.Errorf("open broker of type %s: %w", kind, err)
	}
	d.opened[access{kind, secret}] = driver
	return driver, nil
}
