package precondition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Bounds of one expression.
const (
	maxLength = 4096            // bytes of source
	maxDepth  = 100             // nesting that the parser follows
	maxCost   = 100_000         // CEL cost units of one evaluation, some milliseconds
	maxTime   = 5 * time.Second // only where cost and time have nothing to do with each other
)

// Chain is an adapter's compiled preconditions. It is safe for concurrent use.
type Chain struct {
	dependencies []string
	nouns        []string
	checks       []check
}

type check struct {
	source  string
	program cel.Program
}

// Input is everything that a verdict depends on.
type Input struct {
	Resource  fleet.Resource            // what it is about, with its adapters' messages and data in full
	Documents map[string]fleet.Resource // the resources that expressions see, by name, Resource among them
	Apart     []string                  // dependencies that have nothing to do with resources of its type
	Now       time.Time
}

// Verdict says whether an adapter may start, and if not, why. The reason is
// the same as long as the cause is.
type Verdict struct {
	Met    bool
	Reason string
}

// Compile checks expressions over the nouns (each a resource as the API's JSON,
// such as cluster; empty where the event is about none of its type), statuses
// (map of adapter name to its latest report on what the event is about) and now
// (a timestamp). The error names every bad expression with the position of what
// is wrong in it. at gives the path of expression i.
func Compile(dependencies, nouns, expressions []string, at func(i int) string) (*Chain, error) {
	options := []cel.EnvOption{
		cel.Variable("statuses", cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.DynType))),
		cel.Variable("now", cel.TimestampType),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(maxLength),
	}
	for _, noun := range nouns {
		options = append(options, cel.Variable(noun, cel.MapType(cel.StringType, cel.DynType)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	c := &Chain{dependencies: dependencies, nouns: nouns}
	var problems []error
	for i, source := range expressions {
		program, err := compile(env, source)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", at(i), err))
			continue
		}
		c.checks = append(c.checks, check{source, program})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, nil
}

func compile(env *cel.Env, source string) (cel.Program, error) {
	if len(source) > maxLength {
		return nil, fmt.Errorf("expression has %d bytes, at most %d are allowed", len(source), maxLength)
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		var at []string
		for _, e := range issues.Errors() {
			at = append(at, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message))
		}
		return nil, fmt.Errorf("%q: %s", source, strings.Join(at, "; "))
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("%q: gives %s, must give bool (compare the value, for example with == true)", source, ast.OutputType())
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", source, err)
	}
	return program, nil
}

// Waiting returns the dependencies that are not Complete for the resource's
// generation.
func (c *Chain) Waiting(r fleet.Resource) []string {
	var waiting []string
	for _, name := range c.dependencies {
		s, ok := r.Status.Adapter(name)
		if !ok || s.Phase != fleet.ReportComplete || s.ObservedGeneration != r.Generation {
			waiting = append(waiting, name)
		}
	}
	return waiting
}

// Dependencies judges the dependencies alone: they must be Complete, but for
// those apart.
func (c *Chain) Dependencies(in Input) Verdict {
	waiting := slices.DeleteFunc(c.Waiting(in.Resource), func(name string) bool { return slices.Contains(in.Apart, name) })
	if len(waiting) > 0 {
		return Verdict{Reason: "waiting for " + strings.Join(waiting, ", ")}
	}
	return Verdict{Met: true}
}

// Judge judges dependencies, then every expression.
func (c *Chain) Judge(in Input) Verdict {
	if v := c.Dependencies(in); !v.Met {
		return v
	}
	if len(c.checks) == 0 {
		return Verdict{Met: true}
	}
	vars, err := c.variables(in)
	if err != nil {
		return Verdict{Reason: fmt.Sprintf("preconditions cannot be evaluated: %v", err)}
	}
	var unmet []string
	for _, check := range c.checks {
		if why := check.eval(vars); why != "" {
			unmet = append(unmet, why)
		}
	}
	if len(unmet) > 0 {
		return Verdict{Reason: cut("precondition not met: "+strings.Join(unmet, "; "), 4000)}
	}
	return Verdict{Met: true}
}

// eval returns why the check does not hold, "" if it does.
func (c check) eval(vars map[string]any) string {
	shown := cut(c.source, 500)
	held, err := c.holds(vars)
	switch {
	case err != nil:
		return fmt.Sprintf("%s (%s)", shown, cut(err.Error(), 500))
	case !held:
		return shown
	default:
		return ""
	}
}

func (c check) holds(vars map[string]any) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	value, _, err := c.program.ContextEval(ctx, vars)
	return value == types.True, err
}

// cut shortens s to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
