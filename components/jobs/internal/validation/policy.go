package validation

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxCost bounds one expression, in CEL cost units.
const maxCost = 250_000

// Severity says what a violated policy leads to.
type Severity string

// Severities.
const (
	Deny Severity = "deny" // the cluster does not pass
	Warn Severity = "warn" // the cluster passes with a warning
)

// file is a policy file.
type file struct {
	Lists    map[string][]string `json:"lists"` // each is a variable of the expressions
	Policies []rule              `json:"policies"`
}

// rule is one policy as the file has it.
type rule struct {
	ID                string   `json:"id"`
	Resource          string   `json:"resource"` // what it judges: clusters, if "", or nodepools
	Field             string   `json:"field"`    // JSON pointer into spec
	Severity          Severity `json:"severity"`
	Expression        string   `json:"expression"` // true = kept
	Message           string   `json:"message"`
	MessageExpression string   `json:"messageExpression"` // instead of message; a string that may name values
}

// Policies is a compiled policy file. It is safe for concurrent use.
type Policies struct {
	lists map[string]any
	rules []compiled
}

type compiled struct {
	rule
	holds   cel.Program
	message cel.Program // nil = rule.Message
}

func (p *Policies) of(t fleet.ResourceType) []compiled {
	return slices.DeleteFunc(slices.Clone(p.rules), func(c compiled) bool { return c.Resource != string(t) })
}

var (
	identifier = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	policyID   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// Load compiles a policy file. The error names every problem, those of
// expressions with line and column. name is the file's, for the error.
func Load(name string, text []byte) (*Policies, error) {
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return nil, fmt.Errorf("read policies %s: %w", name, err)
	}
	var problems []error
	var options []cel.EnvOption
	lists := map[string]any{}
	for _, list := range slices.Sorted(maps.Keys(f.Lists)) {
		if !identifier.MatchString(list) || slices.Contains([]string{"spec", "labels", "name", "cluster"}, list) {
			problems = append(problems, fmt.Errorf("lists.%s: want a name such as regions, other than spec, labels, name and cluster", list))
			continue
		}
		options = append(options, cel.Variable(list, cel.ListType(cel.StringType)))
		lists[list] = f.Lists[list]
	}
	envs := map[string]*cel.Env{}
	for _, t := range []fleet.ResourceType{fleet.Clusters, fleet.NodePools} {
		env, err := cel.NewEnv(append(environment(t), options...)...)
		if err != nil {
			return nil, fmt.Errorf("set up CEL: %w", err)
		}
		envs[string(t)] = env
	}
	p := &Policies{lists: lists}
	seen := map[string]bool{}
	for i, r := range f.Policies {
		r.Resource = cmp.Or(r.Resource, string(fleet.Clusters))
		env := envs[r.Resource]
		if env == nil {
			problems = append(problems, fmt.Errorf("policies[%d] %s: resource %q: want clusters or nodepools", i, r.ID, r.Resource))
			continue
		}
		c, errs := compile(env, r)
		if key := r.Resource + " " + r.ID + " " + r.Field; seen[key] {
			errs = append(errs, errors.New("the same id and field stand twice"))
		} else {
			seen[key] = true
		}
		for _, err := range errs {
			problems = append(problems, fmt.Errorf("policies[%d] %s: %w", i, r.ID, err))
		}
		p.rules = append(p.rules, c)
	}
	if len(f.Policies) == 0 {
		problems = append(problems, errors.New("policies: none"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("policies %s: %w", name, err)
	}
	return p, nil
}

func compile(env *cel.Env, r rule) (c compiled, problems []error) {
	c.rule = r
	if !policyID.MatchString(r.ID) {
		problems = append(problems, errors.New("id: want lower-case words joined by dashes"))
	}
	if !strings.HasPrefix(r.Field, "/") {
		problems = append(problems, fmt.Errorf("field %q: want a JSON pointer into the spec, such as /networking/serviceCIDR", r.Field))
	}
	if r.Severity != Deny && r.Severity != Warn {
		problems = append(problems, fmt.Errorf("severity %q: want deny or warn", r.Severity))
	}
	if (r.Message == "") == (r.MessageExpression == "") {
		problems = append(problems, errors.New("want one of message and messageExpression"))
	}
	var err error
	if c.holds, err = program(env, r.Expression, cel.BoolType); err != nil {
		problems = append(problems, fmt.Errorf("expression: %w", err))
	}
	if r.MessageExpression != "" {
		if c.message, err = program(env, r.MessageExpression, cel.StringType); err != nil {
			problems = append(problems, fmt.Errorf("messageExpression: %w", err))
		}
	}
	return c, problems
}

// program compiles one expression that must give want.
func program(env *cel.Env, source string, want *cel.Type) (cel.Program, error) {
	tree, issues := env.Compile(source)
	if issues.Err() != nil {
		var at []string
		for _, e := range issues.Errors() {
			at = append(at, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message))
		}
		return nil, errors.New(strings.Join(at, "; "))
	}
	if got := tree.OutputType(); !got.IsExactType(want) {
		return nil, fmt.Errorf("gives %s, want %s", got, want)
	}
	return env.Program(tree, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100))
}
