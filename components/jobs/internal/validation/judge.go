package validation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Subject is what is judged: a cluster, or one of its pools.
type Subject struct {
	Cluster  fleet.Resource
	NodePool *fleet.Resource // nil: the cluster is judged
}

// resource is what the policies are about.
func (s Subject) resource() (fleet.ResourceType, fleet.Resource) {
	if s.NodePool != nil {
		return fleet.NodePools, *s.NodePool
	}
	return fleet.Clusters, s.Cluster
}

// variables are what expressions see of s.
func (s Subject) variables() (map[string]any, error) {
	_, r := s.resource()
	in, err := seen(r)
	if err != nil || s.NodePool == nil {
		return in, err
	}
	in["cluster"], err = seen(s.Cluster)
	return in, err
}

// seen is what expressions see of one resource.
func seen(r fleet.Resource) (map[string]any, error) {
	spec, err := object(r.Spec)
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	labels := r.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return map[string]any{"spec": spec, "labels": labels, "name": r.Name}, nil
}

// Violation is one policy that a resource breaks.
type Violation struct {
	Policy  string `json:"policy"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// String names the rule, the field and what is wrong, on one line.
func (v Violation) String() string {
	return fmt.Sprintf("%s at %s: %s", v.Policy, v.Field, v.Message)
}

// Verdict is what all policies say of one generation of a resource.
type Verdict struct {
	Cluster    string      `json:"cluster"`
	NodePool   string      `json:"nodepool,omitempty"`
	Generation int64       `json:"generation"`
	Policies   int         `json:"policies"`
	Violations []Violation `json:"violations"` // in the file's order
	Warnings   []Violation `json:"warnings"`
}

// Err is a [Violated], or nil if the resource passes.
func (v Verdict) Err() error {
	if len(v.Violations) == 0 {
		return nil
	}
	return Violated{v.Violations}
}

// Violated is the error of a resource that does not pass.
type Violated struct {
	Violations []Violation `json:"violations"`
}

// Error names every violated policy.
func (v Violated) Error() string {
	all := make([]string, len(v.Violations))
	for i, violation := range v.Violations {
		all[i] = violation.String()
	}
	noun := "policies"
	if len(all) == 1 {
		noun = "policy"
	}
	return fmt.Sprintf("%d %s violated: %s", len(all), noun, strings.Join(all, "; "))
}

// Data is what programs are told of the failure: as many violations as fit a
// termination log beside the message, each with its JSON pointer.
func (v Violated) Data() any {
	const room = 2000 // bytes
	size, fit := 0, 0
	for _, violation := range v.Violations {
		if size += len(violation.Policy) + len(violation.Field) + len(violation.Message) + len(`{"policy":"","field":"","message":""},`); size > room {
			break
		}
		fit++
	}
	return struct {
		Violations []Violation `json:"violations"`
		More       int         `json:"more,omitempty"` // violations that did not fit
	}{v.Violations[:fit], len(v.Violations) - fit}
}

// Judge applies every policy of its type to a resource. A policy that cannot be evaluated
// counts as violated, whatever its severity. The error is ctx's, or says that
// spec is no JSON object.
func (p *Policies) Judge(ctx context.Context, s Subject) (Verdict, error) {
	in, err := s.variables()
	if err != nil {
		return Verdict{}, err
	}
	for name, list := range p.lists {
		in[name] = list
	}
	t, about := s.resource()
	rules := p.of(t)
	v := Verdict{Cluster: s.Cluster.ID, Generation: about.Generation, Policies: len(rules), Violations: []Violation{}, Warnings: []Violation{}}
	if s.NodePool != nil {
		v.NodePool = s.NodePool.ID
	}
	for _, r := range rules {
		out, _, err := r.holds.ContextEval(ctx, in)
		if ctx.Err() != nil {
			return Verdict{}, ctx.Err()
		}
		switch {
		case err != nil:
			v.Violations = append(v.Violations, Violation{r.ID, r.Field, "cannot be judged: " + err.Error()})
		case out.Value() == true:
		case r.Severity == Warn:
			v.Warnings = append(v.Warnings, Violation{r.ID, r.Field, r.say(ctx, in)})
		default:
			v.Violations = append(v.Violations, Violation{r.ID, r.Field, r.say(ctx, in)})
		}
	}
	return v, nil
}

// say returns the message of a violated policy.
func (c compiled) say(ctx context.Context, in map[string]any) string {
	if c.message == nil {
		return c.Message
	}
	out, _, err := c.message.ContextEval(ctx, in)
	if err != nil {
		return "violated; its message cannot be made: " + err.Error()
	}
	text, _ := out.Value().(string) // type-checked when it was compiled
	return text
}

// object decodes a JSON object, whole numbers as int64.
func object(text json.RawMessage) (map[string]any, error) {
	if len(text) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	for k, v := range o {
		o[k] = number(v)
	}
	return o, nil
}

// number turns every json.Number of a value into int64 or float64.
func number(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // out of range: an infinity, which no bound admits
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f)
		}
		return f
	case map[string]any:
		for k := range v {
			v[k] = number(v[k])
		}
	case []any:
		for i := range v {
			v[i] = number(v[i])
		}
	}
	return v
}
