package validation

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/labels"
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

// file is a file of policies.
type file struct {
	Lists    map[string][]string            `json:"lists"` // each is a variable of the expressions
	Maps     map[string]map[string][]string `json:"maps"`  // likewise
	Policies []rule                         `json:"policies"`
}

// rule is one policy as a file has it.
type rule struct {
	ID                string   `json:"id"`
	Resource          string   `json:"resource"` // what it judges: clusters, if "", or nodepools
	Match             string   `json:"match"`    // label selector: only resources that it matches are judged
	Each              string   `json:"each"`     // JSON pointer to a list of spec: judge each of its items
	Field             string   `json:"field"`    // JSON pointer into spec, or into the item
	Severity          Severity `json:"severity"`
	Expression        string   `json:"expression"` // true = kept
	Message           string   `json:"message"`
	MessageExpression string   `json:"messageExpression"` // instead of message; a string that may name values
	Docs              string   `json:"docs"`              // link for whoever broke it
}

// Policies is a compiled bundle. It is safe for concurrent use.
type Policies struct {
	lists   map[string]any
	rules   map[fleet.ResourceType][]compiled
	schemas map[fleet.ResourceType]*jsonschema.Schema
}

type compiled struct {
	rule
	selects labels.Selector
	each    []string // path of the list; nil = none
	holds   cel.Program
	message cel.Program // nil = rule.Message
}

var (
	identifier = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	policyID   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// judged are the resource types that bundles judge.
func judged() []fleet.ResourceType { return []fleet.ResourceType{fleet.Clusters, fleet.NodePools} }

// Compile compiles a bundle. The error names every problem, those of
// expressions with line and column.
func Compile(b Bundle) (*Policies, error) {
	p := &Policies{lists: map[string]any{}, rules: map[fleet.ResourceType][]compiled{}, schemas: map[fleet.ResourceType]*jsonschema.Schema{}}
	var problems []error
	var all []placed
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		switch {
		case strings.HasSuffix(name, testsSuffix):
		case strings.HasSuffix(name, schemaSuffix):
			problems = append(problems, p.addSchema(name, b.Files[name]))
		default:
			var f file
			if err := yaml.UnmarshalStrict(b.Files[name], &f); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", name, err))
				continue
			}
			problems = append(problems, p.addLists(name, f)...)
			for i, r := range f.Policies {
				all = append(all, placed{fmt.Sprintf("%s: policies[%d] %s", name, i, r.ID), r})
			}
		}
	}
	problems = append(problems, p.addRules(all)...)
	if len(all) == 0 && len(p.schemas) == 0 && errors.Join(problems...) == nil {
		problems = append(problems, errors.New("policies: none"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("policies %s: %w", b.Name, err)
	}
	return p, nil
}

// placed is a rule with its place, for errors.
type placed struct {
	at string
	rule
}

func (p *Policies) addSchema(name string, text []byte) error {
	t := fleet.ResourceType(strings.TrimSuffix(name, schemaSuffix))
	if !slices.Contains(judged(), t) {
		return fmt.Errorf("%s: want a schema of clusters or nodepools", name)
	}
	s, err := compileSchema(name, text)
	p.schemas[t] = s
	return err
}

func (p *Policies) addLists(file string, f file) (problems []error) {
	add := func(kind, name string, value any) {
		switch {
		case !identifier.MatchString(name) || slices.Contains(reserved(), name):
			problems = append(problems, fmt.Errorf("%s: %s.%s: want a name such as regions, other than %s", file, kind, name, strings.Join(reserved(), ", ")))
		case p.lists[name] != nil:
			problems = append(problems, fmt.Errorf("%s: %s.%s: there is another of that name", file, kind, name))
		default:
			p.lists[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Lists)) {
		add("lists", name, f.Lists[name])
	}
	for _, name := range slices.Sorted(maps.Keys(f.Maps)) {
		add("maps", name, f.Maps[name])
	}
	return problems
}

// addRules compiles rules, on as many cores as there are.
func (p *Policies) addRules(all []placed) (problems []error) {
	type sight struct {
		resource string
		each     bool
	}
	envs := map[sight]*cel.Env{}
	for _, t := range judged() {
		for _, each := range []bool{false, true} {
			env, err := cel.NewEnv(append(environment(t, each), p.variables()...)...)
			if err != nil {
				return []error{fmt.Errorf("set up CEL: %w", err)}
			}
			envs[sight{string(t), each}] = env
		}
	}
	done, errs := make([]compiled, len(all)), make([][]error, len(all))
	var workers sync.WaitGroup
	count := runtime.GOMAXPROCS(0)
	for w := range count {
		workers.Go(func() {
			for i := w; i < len(all); i += count {
				r := all[i].rule
				r.Resource = cmp.Or(r.Resource, string(fleet.Clusters))
				if env := envs[sight{r.Resource, r.Each != ""}]; env != nil {
					done[i], errs[i] = compile(env, r)
				} else {
					errs[i] = []error{fmt.Errorf("resource %q: want clusters or nodepools", r.Resource)}
				}
			}
		})
	}
	workers.Wait()
	seen := map[string]bool{}
	for i, c := range done {
		key := c.Resource + " " + c.ID + " " + c.Each + " " + c.Field
		if seen[key] && c.Resource != "" {
			errs[i] = append(errs[i], errors.New("the same id and field stand twice"))
		}
		seen[key] = true
		for _, err := range errs[i] {
			problems = append(problems, fmt.Errorf("%s: %w", all[i].at, err))
		}
		p.rules[fleet.ResourceType(c.Resource)] = append(p.rules[fleet.ResourceType(c.Resource)], c)
	}
	return problems
}

func compile(env *cel.Env, r rule) (c compiled, problems []error) {
	c.rule = r
	if !policyID.MatchString(r.ID) || r.ID == schemaPolicy {
		problems = append(problems, fmt.Errorf("id: want lower-case words joined by dashes, other than %s", schemaPolicy))
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
	if u, err := url.Parse(r.Docs); r.Docs != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http") {
		problems = append(problems, fmt.Errorf("docs %q: want a URL", r.Docs))
	}
	var err error
	if c.selects, err = labels.Parse(r.Match); err != nil {
		problems = append(problems, fmt.Errorf("match %q: %w", r.Match, err))
	}
	if r.Each != "" {
		if !strings.HasPrefix(r.Each, "/") {
			problems = append(problems, fmt.Errorf("each %q: want a JSON pointer into the spec, such as /nodePools", r.Each))
		}
		c.each = steps(r.Each)
	}
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
