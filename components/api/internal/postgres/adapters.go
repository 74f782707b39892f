package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// MaxInstances bounds what one adapter may register.
const MaxInstances = 1000

const (
	instanceColumns = `name, instance, resource_types, dependencies, has_deletion, version, dead_letters, oldest_dead_letter, updated_at`

	// registerSQL makes a row only below the bound; what is there is renewed.
	registerSQL = `
		INSERT INTO adapters (` + instanceColumns + `)
		SELECT $1, $2, $3::text[], $4::text[], $5::boolean, $6, $7::bigint, $8::timestamptz, clock_timestamp()
		WHERE (SELECT count(*) FROM adapters WHERE name = $1 AND instance <> $2) < $9
		ON CONFLICT (name, instance) DO UPDATE SET resource_types = excluded.resource_types, dependencies = excluded.dependencies,
			has_deletion = excluded.has_deletion, version = excluded.version, dead_letters = excluded.dead_letters,
			oldest_dead_letter = excluded.oldest_dead_letter, updated_at = excluded.updated_at
		RETURNING updated_at`

	// lockAdaptersSQL lets one at a time register, before it looks at the others.
	lockAdaptersSQL = `SELECT clock_timestamp() FROM (SELECT pg_advisory_xact_lock(hashtext('hyperfleet adapters'))) locked`

	knownSQL = `SELECT ` + instanceColumns + ` FROM adapters WHERE name = ANY ($1::text[]) ORDER BY name, instance`

	everySQL = `SELECT ` + instanceColumns + ` FROM adapters ORDER BY name, instance`

	unregisterSQL = `DELETE FROM adapters WHERE name = $1 AND ($2 = '' OR instance = $2) RETURNING true`
)

// instanceRow is what one instance of an adapter registered.
type instanceRow struct {
	Name          string         `db:"name"`
	Instance      string         `db:"instance"`
	ResourceTypes pq.StringArray `db:"resource_types"`
	Dependencies  pq.StringArray `db:"dependencies"`
	HasDeletion   bool           `db:"has_deletion"`
	Version       string         `db:"version"`
	DeadLetters   int64          `db:"dead_letters"`
	Oldest        *time.Time     `db:"oldest_dead_letter"`
	UpdatedAt     time.Time      `db:"updated_at"`
}

// RegisterAdapter stores what one instance of an adapter says of itself, and
// returns the adapter as all its instances make it. What would have adapters
// wait for each other is fleet.Conflict.
func (s *Store) RegisterAdapter(ctx context.Context, name string, n fleet.NewAdapterInstance) (fleet.Adapter, error) {
	err := s.within(ctx, fleet.Types()[0], func(ctx context.Context, x *tx) error { // it touches no type's tables
		var at time.Time
		if err := x.row(ctx, &at, lockAdaptersSQL); err != nil {
			return err
		}
		if err := s.noCircle(ctx, x, name, n); err != nil {
			return err
		}
		return x.register(ctx, at, name, n)
	})
	if err != nil {
		return fleet.Adapter{}, outward(ctx, "register adapter", err)
	}
	return s.Adapter(ctx, name)
}

// noCircle refuses dependencies that would have adapters wait for each other.
func (s *Store) noCircle(ctx context.Context, x *tx, name string, n fleet.NewAdapterInstance) error {
	var rows []instanceRow
	if err := x.rows(ctx, &rows, everySQL); err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r instanceRow) bool { return r.Name == name && r.Instance == n.Instance })
	would := instanceRow{Name: name, Instance: n.Instance, Dependencies: n.Dependencies}
	for _, t := range n.ResourceTypes {
		would.ResourceTypes = append(would.ResourceTypes, string(t))
	}
	rows = append(rows, would)
	known := s.adapters(rows)
	for _, t := range n.ResourceTypes {
		if path := circle(known, t, name); path != nil {
			return fleet.Errorf(fleet.Conflict, "of the adapters %s each would wait for the next on %s for ever; "+
				"take a dependency away, or delete an instance that is no more", strings.Join(path, ", "), t)
		}
	}
	return nil
}

func (x *tx) register(ctx context.Context, at time.Time, name string, n fleet.NewAdapterInstance) error {
	text, args := registerSQL, []any{name, n.Instance, stringArray(n.ResourceTypes), stringArray(n.Dependencies),
		n.HasDeletion, n.Version, n.DeadLetters.Count, nullable(n.DeadLetters.Oldest), MaxInstances}
	if authorOf(ctx).Admin {
		var err error
		if text, args, err = noted(ctx, at, fleet.ActionUpdate, "adapters", name, text, args); err != nil {
			return err
		}
	}
	var stored []time.Time
	if err := x.rows(ctx, &stored, text, args...); err != nil {
		return err
	}
	if len(stored) == 0 {
		return fleet.Errorf(fleet.Conflict, "adapter %s has %d instances; delete those that are no more", name, MaxInstances)
	}
	return nil
}

// Adapter reads an adapter that is registered or required, else fleet.NotFound.
func (s *Store) Adapter(ctx context.Context, name string) (fleet.Adapter, error) {
	var rows []instanceRow
	if err := s.statements.read(ctx, &rows, knownSQL, pq.StringArray{name}); err != nil {
		return fleet.Adapter{}, outward(ctx, "read adapter", err)
	}
	for _, a := range s.adapters(rows) {
		if a.Name == name {
			return a, nil
		}
	}
	return fleet.Adapter{}, noAdapter(name)
}

func noAdapter(name string) error {
	return fleet.Errorf(fleet.NotFound, "adapter %q is neither registered nor required", name)
}

// Adapters reads every adapter that is registered or required, by name.
func (s *Store) Adapters(ctx context.Context) (fleet.AdapterList, error) {
	out := fleet.AdapterList{Kind: "AdapterList"}
	at, err := s.clock(ctx)
	if err != nil {
		return out, outward(ctx, "list adapters", err)
	}
	var rows []instanceRow
	if err := s.statements.read(ctx, &rows, everySQL); err != nil {
		return out, outward(ctx, "list adapters", err)
	}
	out.Items, out.AsOf = s.adapters(rows), fleet.At(at)
	return out, nil
}

// UnregisterAdapter forgets one instance of an adapter, or all where instance
// is empty; fleet.NotFound if there is none.
func (s *Store) UnregisterAdapter(ctx context.Context, name, instance string) error {
	gone, err := s.unlist(ctx, unregisterSQL, "adapters", name, instance)
	if err != nil {
		return outward(ctx, "delete adapter", err)
	}
	if !gone {
		return fleet.Errorf(fleet.NotFound, "adapter %q has not registered%s", name, map[bool]string{true: fmt.Sprintf(" instance %q", instance)}[instance != ""])
	}
	return nil
}

// participants are the adapters that take part in the deletion of l.
func (s *Store) participants(ctx context.Context, l locked) ([]fleet.Adapter, error) {
	names := pq.StringArray(slices.Clone(s.required[l.tx.info.Type]))
	for _, a := range l.Resource.Status.Adapters {
		names = append(names, a.AdapterName)
	}
	var rows []instanceRow
	if err := l.tx.rows(ctx, &rows, knownSQL, names); err != nil {
		return nil, fmt.Errorf("read adapters: %w", err)
	}
	return fleet.Participants(l.tx.info.Type, s.adapters(rows), l.Resource.Status.Adapters), nil
}

// adapters joins what instances registered with what is required.
func (s *Store) adapters(rows []instanceRow) []fleet.Adapter {
	byName := map[string]*fleet.Adapter{}
	named := func(name string) *fleet.Adapter {
		if byName[name] == nil {
			byName[name] = &fleet.Adapter{Name: name, Kind: "Adapter", RequiredFor: []fleet.ResourceType{},
				ResourceTypes: []fleet.ResourceType{}, Dependencies: []string{}, Instances: []fleet.AdapterInstance{}}
		}
		return byName[name]
	}
	for _, r := range rows {
		i := r.instance()
		a := named(r.Name)
		a.Instances = append(a.Instances, i)
		a.HasDeletion = a.HasDeletion || i.HasDeletion
		a.ResourceTypes = union(a.ResourceTypes, i.ResourceTypes)
		a.Dependencies = union(a.Dependencies, i.Dependencies)
	}
	for _, t := range fleet.Types() {
		for _, name := range s.required[t.Type] {
			a := named(name)
			a.RequiredFor = append(a.RequiredFor, t.Type)
		}
	}
	out := make([]fleet.Adapter, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out
}

func (r instanceRow) instance() fleet.AdapterInstance {
	i := fleet.AdapterInstance{UpdatedAt: fleet.At(r.UpdatedAt), NewAdapterInstance: fleet.NewAdapterInstance{
		Instance: r.Instance, ResourceTypes: []fleet.ResourceType{}, Dependencies: r.Dependencies, HasDeletion: r.HasDeletion,
		Version: r.Version, DeadLetters: fleet.DeadLetters{Count: r.DeadLetters, Oldest: optional(r.Oldest)},
	}}
	for _, t := range r.ResourceTypes {
		i.ResourceTypes = append(i.ResourceTypes, fleet.ResourceType(t))
	}
	return i
}

// union adds what is not there yet, sorted.
func union[S ~string](a, b []S) []S {
	out := append(append([]S{}, a...), b...) // empty, not nil: JSON tells them apart
	slices.Sort(out)
	return slices.Compact(out)
}
