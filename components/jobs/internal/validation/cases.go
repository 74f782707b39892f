package validation

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// cases is a test file of a bundle.
type cases struct {
	Base  map[string]json.RawMessage `json:"base"` // resource type -> what the cases' input is merged into
	Tests []testCase                 `json:"tests"`
}

// testCase says what the bundle must have against an input.
type testCase struct {
	Name     string          `json:"name"`
	Resource string          `json:"resource"` // clusters, if "", or nodepools
	Input    json.RawMessage `json:"input"`    // a merge patch (RFC 7396) of the base
	Deny     []string        `json:"deny"`     // exactly these, as "policy /field"
	Warn     []string        `json:"warn"`
}

// caseInput is what a case judges.
type caseInput struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	Spec      json.RawMessage   `json:"spec"`
	Installed string            `json:"installed"` // the version that the cluster runs
	Cluster   *caseInput        `json:"cluster"`   // of a node pool
}

func (in caseInput) resource() (fleet.Resource, error) {
	data, err := json.Marshal(map[string]string{"version": in.Installed})
	if err != nil {
		return fleet.Resource{}, fmt.Errorf("encode the installed version: %w", err)
	}
	return fleet.Resource{Name: in.Name, Labels: in.Labels, Spec: in.Spec,
		Status: fleet.Status{Adapters: []fleet.AdapterStatus{{AdapterName: "hypershift", Data: data}}}}, nil
}

// subject is what the case is about.
func (in caseInput) subject(t fleet.ResourceType) (Subject, error) {
	r, err := in.resource()
	if err != nil || t == fleet.Clusters {
		return Subject{Cluster: r}, err
	}
	s := Subject{NodePool: &r}
	if in.Cluster != nil {
		s.Cluster, err = in.Cluster.resource()
	}
	return s, err
}

// Report is how the tests of a bundle went.
type Report struct {
	Tests, Failed int
	Unused        []string // policies that no test breaks
}

// Test runs the tests that a bundle brings and writes to out what failed. The
// error says that the bundle or its tests cannot be read.
func Test(ctx context.Context, b Bundle, out io.Writer) (Report, error) {
	p, err := Compile(b)
	if err != nil {
		return Report{}, err
	}
	unused := map[string]bool{}
	for t, rules := range p.rules {
		for _, r := range rules {
			unused[string(t)+" "+r.ID] = true
		}
	}
	var report Report
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		if !strings.HasSuffix(name, testsSuffix) {
			continue
		}
		var all cases
		if err := yaml.UnmarshalStrict(b.Files[name], &all); err != nil {
			return Report{}, fmt.Errorf("%s: %w", name, err)
		}
		for _, c := range all.Tests {
			report.Tests++
			broken, problems, err := p.try(ctx, all.Base, c)
			if err != nil {
				return Report{}, fmt.Errorf("%s: test %q: %w", name, c.Name, err)
			}
			if len(problems) > 0 {
				report.Failed++
				fmt.Fprintf(out, "FAIL %s: %s\n  %s\n", name, c.Name, strings.Join(problems, "\n  "))
			}
			for _, id := range broken {
				delete(unused, id)
			}
		}
	}
	report.Unused = slices.Sorted(maps.Keys(unused))
	return report, nil
}

// try runs one case. It returns the policies that were broken, and what is not
// as the case wants it.
func (p *Policies) try(ctx context.Context, base map[string]json.RawMessage, c testCase) (broken, problems []string, err error) {
	t := fleet.ResourceType(c.Resource)
	if t == "" {
		t = fleet.Clusters
	}
	if !slices.Contains(judged(), t) {
		return nil, nil, fmt.Errorf("resource %q: want clusters or nodepools", c.Resource)
	}
	input := base[string(t)]
	if input == nil {
		input = json.RawMessage("{}")
	}
	if len(c.Input) > 0 {
		if input, err = jsonpatch.MergePatch(input, c.Input); err != nil {
			return nil, nil, fmt.Errorf("merge its input into the base: %w", err)
		}
	}
	var in caseInput
	if err := yaml.UnmarshalStrict(input, &in); err != nil {
		return nil, nil, fmt.Errorf("read its input: %w", err)
	}
	s, err := in.subject(t)
	if err != nil {
		return nil, nil, err
	}
	v, err := p.Judge(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	for _, side := range []struct {
		word string
		want []string
		got  []Violation
	}{{"deny", c.Deny, v.Violations}, {"warn", c.Warn, v.Warnings}} {
		got := map[string]string{}
		for _, violation := range side.got {
			got[violation.Policy+" "+violation.Field] = violation.Message
			broken = append(broken, string(t)+" "+violation.Policy)
			if strings.HasPrefix(violation.Message, noMessage) {
				problems = append(problems, violation.String())
			}
		}
		for _, want := range side.want {
			if _, ok := got[want]; !ok {
				problems = append(problems, fmt.Sprintf("does not %s %s", side.word, want))
			}
			delete(got, want)
		}
		for _, more := range slices.Sorted(maps.Keys(got)) {
			problems = append(problems, fmt.Sprintf("%s %s: %s", map[string]string{"deny": "denies", "warn": "warns of"}[side.word], more, got[more]))
		}
	}
	return broken, problems, nil
}
