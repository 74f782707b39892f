package precondition

import (
	"fmt"
	"slices"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Finding is what is to be said of one dependency or one expression.
type Finding struct {
	Kind string // "dependency" or "precondition"
	What string // the adapter's name, or the expression
	Met  bool
	Why  string // how it stands
}

// Explain judges every dependency and every expression by itself, for people who
// write them. An adapter may start exactly when all are met: see [Chain.Judge].
func (c *Chain) Explain(in Input) []Finding {
	waiting := c.Waiting(in.Resource)
	var all []Finding
	for _, name := range c.dependencies {
		f := Finding{Kind: "dependency", What: name, Met: !slices.Contains(waiting, name), Why: standing(in.Resource, name)}
		if !f.Met && slices.Contains(in.Apart, name) {
			f.Met, f.Why = true, "not waited for, it is registered for other types alone"
		}
		all = append(all, f)
	}
	vars, broken := c.variables(in)
	for _, check := range c.checks {
		f := Finding{Kind: "precondition", What: check.source, Why: "false"}
		held, err := false, broken
		if err == nil {
			held, err = check.holds(vars)
		}
		switch {
		case err != nil:
			f.Why = "cannot be evaluated: " + err.Error()
		case held:
			f.Met, f.Why = true, "true"
		}
		all = append(all, f)
	}
	return all
}

// standing says what the named adapter reported on r last.
func standing(r fleet.Resource, name string) string {
	s, ok := r.Status.Adapter(name)
	switch {
	case !ok:
		return "no report yet"
	case s.ObservedGeneration != r.Generation:
		return fmt.Sprintf("%s for generation %d, want Complete for %d", s.Phase, s.ObservedGeneration, r.Generation)
	default:
		return string(s.Phase)
	}
}
