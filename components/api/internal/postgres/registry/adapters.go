package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
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
func (s *Registry) RegisterAdapter(ctx context.Context, name string, n fleet.NewAdapterInstance) (fleet.Adapter, error) {
	err := s.db.Within(ctx, fleet.Types()[0], func(ctx context.Context, x *database.Tx) error { // it touches no type's tables
		var at time.Time
		if err := x.Row(ctx, &at, lockAdaptersSQL); err != nil {
			return err
		}
		if err := s.noCircle(ctx, x, name, n); err != nil {
			return err
		}
		return enlist(ctx, x, at, name, n)
	})
	if err != nil {
		return fleet.Adapter{}, database.Outward(ctx, "register adapter", err)
	}
	return s.Adapter(ctx, name)
}

// noCircle refuses dependencies that would have adapters wait for each other.
func (s *Registry) noCircle(ctx context.Context, x *database.Tx, name string, n fleet.NewAdapterInstance) error {
	var rows []instanceRow
	if err := x.Rows(ctx, &rows, everySQL); err != nil {
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

func enlist(ctx context.Context, x *database.Tx, at time.Time, name string, n fleet.NewAdapterInstance) error {
	text, args := registerSQL, []any{name, n.Instance, database.StringArray(n.ResourceTypes), database.StringArray(n.Dependencies),
		n.HasDeletion, n.Version, n.DeadLetters.Count, database.Nullable(n.DeadLetters.Oldest), MaxInstances}
	if audit.AuthorOf(ctx).Admin {
		var err error
		if text, args, err = audit.Noted(ctx, at, fleet.ActionUpdate, "adapters", name, text, args); err != nil {
			return err
		}
	}
	var stored []time.Time
	if err := x.Rows(ctx, &stored, text, args...); err != nil {
		return err
	}
	if len(stored) == 0 {
		return fleet.Errorf(fleet.Conflict, "adapter %s has %d instances; delete those that are no more", name, MaxInstances)
	}
	return nil
}

// Adapter reads an adapter that is registered or required, else fleet.NotFound.
func (s *Registry) Adapter(ctx context.Context, name string) (fleet.Adapter, error) {
	var rows []instanceRow
	if err := s.db.Read(ctx, &rows, knownSQL, pq.StringArray{name}); err != nil {
		return fleet.Adapter{}, database.Outward(ctx, "read adapter", err)
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
func (s *Registry) Adapters(ctx context.Context) (fleet.AdapterList, error) {
	out := fleet.AdapterList{Kind: "AdapterList"}
	at, err := s.db.Clock(ctx)
	if err != nil {
		return out, database.Outward(ctx, "list adapters", err)
	}
	var rows []instanceRow
	if err := s.db.Read(ctx, &rows, everySQL); err != nil {
		return out, database.Outward(ctx, "list adapters", err)
	}
	out.Items, out.AsOf = s.adapters(rows), fleet.At(at)
	return out, nil
}

// UnregisterAdapter forgets one instance of an adapter, or all where instance
// is empty; fleet.NotFound if there is none.
func (s *Registry) UnregisterAdapter(ctx context.Context, name, instance string) error {
	gone, err := s.unlist(ctx, unregisterSQL, "adapters", name, instance)
	if err != nil {
		return database.Outward(ctx, "delete adapter", err)
	}
	if !gone {
		return fleet.Errorf(fleet.NotFound, "adapter %q has not registered%s", name, map[bool]string{true: fmt.Sprintf(" instance %q", instance)}[instance != ""])
	}
	return nil
}

// Participants are the adapters that take part in the deletion of a resource
// that has been reported on so.
func (s *Registry) Participants(ctx context.Context, x *database.Tx, t fleet.ResourceType, reported []fleet.AdapterStatus) ([]fleet.Adapter, error) {
	names := pq.StringArray(slices.Clone(s.Required[t]))
	for _, a := range reported {
		names = append(names, a.AdapterName)
	}
	var rows []instanceRow
	if err := x.Rows(ctx, &rows, knownSQL, names); err != nil {
		return nil, fmt.Errorf("read adapters: %w", err)
	}
	return fleet.Participants(t, s.adapters(rows), reported), nil
}

// unlist runs a statement that removes what is named, and notes it in the
// audit. It says whether there was anything.
func (s *Registry) unlist(ctx context.Context, text, kind, name, part string) (bool, error) {
	at, err := s.db.Clock(ctx)
	if err != nil {
		return false, err
	}
	text, args, err := audit.Noted(ctx, at, fleet.ActionDelete, kind, name, text, []any{name, part})
	if err != nil {
		return false, err
	}
	var removed []bool
	err = s.db.Read(ctx, &removed, text, args...)
	return len(removed) > 0, err
}

// adapters joins what instances registered with what is required.
func (s *Registry) adapters(rows []instanceRow) []fleet.Adapter {
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
		for _, name := range s.Required[t.Type] {
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
		Version: r.Version, DeadLetters: fleet.DeadLetters{Count: r.DeadLetters, Oldest: database.Optional(r.Oldest)},
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
