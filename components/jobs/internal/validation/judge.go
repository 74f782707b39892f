package validation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

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
	if err != nil {
		return nil, err
	}
	in["installed"] = installed(s.Cluster)
	if s.NodePool == nil {
		return in, nil
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
	own := r.Labels
	if own == nil {
		own = map[string]string{}
	}
	return map[string]any{"spec": spec, "labels": own, "name": r.Name}, nil
}

// installed is the version that hypershift last said the cluster runs.
func installed(c fleet.Resource) string {
	for _, a := range c.Status.Adapters {
		var data struct {
			Version string `json:"version"`
		}
		if a.AdapterName == "hypershift" && json.Unmarshal(a.Data, &data) == nil {
			return data.Version
		}
	}
	return ""
}

// Violation is one policy that a resource breaks.
type Violation struct {
	Policy  string `json:"policy"`
	Field   string `json:"field"`
	Message string `json:"message"`
	Docs    string `json:"docs,omitempty"`
}

// String names the rule, the field and what is wrong, on one line.
func (v Violation) String() string {
	s := fmt.Sprintf("%s at %s: %s", v.Policy, v.Field, v.Message)
	if v.Docs != "" {
		s += " (see " + v.Docs + ")"
	}
	return s
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

// Judge applies the schema and every policy of its type to a resource. A policy
// that cannot be evaluated counts as violated, whatever its severity, unless the
// schema says already what is wrong. The error is ctx's, or says that spec is no
// JSON object.
func (p *Policies) Judge(ctx context.Context, s Subject) (Verdict, error) {
	in, err := s.variables()
	if err != nil {
		return Verdict{}, err
	}
	maps.Copy(in, p.lists)
	t, about := s.resource()
	v := Verdict{Cluster: s.Cluster.ID, Generation: about.Generation, Violations: []Violation{}, Warnings: []Violation{}}
	if s.NodePool != nil {
		v.NodePool = s.NodePool.ID
	}
	if schema := p.schemas[t]; schema != nil {
		v.Policies++
		found, err := violations(schema, about.Spec)
		if err != nil {
			return Verdict{}, err
		}
		v.Violations = append(v.Violations, found...)
	}
	formed := len(v.Violations) == 0
	for _, r := range p.rules[t] {
		if !r.selects.Matches(labels.Set(about.Labels)) {
			continue
		}
		v.Policies++
		for _, place := range r.places(in) {
			if err := v.apply(ctx, r, place, formed); err != nil {
				return Verdict{}, err
			}
		}
	}
	return v, nil
}

// place is what a policy looks at: a resource, or an item of a list in it.
type place struct {
	at string // JSON pointer of the item
	in map[string]any
}

// places are where the policy looks. A list that is not there has none; what
// stands in its place and is no list is for the schema to refuse.
func (c compiled) places(in map[string]any) []place {
	if c.each == nil {
		return []place{{"", in}}
	}
	list := in["spec"]
	for _, step := range c.each {
		object, _ := list.(map[string]any)
		list = object[step]
	}
	items, _ := list.([]any)
	places := make([]place, len(items))
	for i, item := range items {
		own := maps.Clone(in)
		own["item"], own["index"] = item, i
		places[i] = place{fmt.Sprintf("%s/%d", c.Each, i), own}
	}
	return places
}

// apply adds what r has against a place. Of a spec that is not formed as the
// schema wants it, a policy need not make sense. The error is ctx's.
func (v *Verdict) apply(ctx context.Context, r compiled, p place, formed bool) error {
	out, _, err := r.holds.ContextEval(ctx, p.in)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	violation := Violation{Policy: r.ID, Field: p.at + r.Field, Docs: r.Docs}
	switch {
	case err != nil && !formed:
	case err != nil:
		violation.Message = "cannot be judged: " + err.Error()
		v.Violations = append(v.Violations, violation)
	case out.Value() == true:
	case r.Severity == Warn:
		violation.Message = r.say(ctx, p.in)
		v.Warnings = append(v.Warnings, violation)
	default:
		violation.Message = r.say(ctx, p.in)
		v.Violations = append(v.Violations, violation)
	}
	return nil
}

// noMessage begins the message of a policy whose own cannot be made.
const noMessage = "violated; its message cannot be made: "

// say returns the message of a violated policy.
func (c compiled) say(ctx context.Context, in map[string]any) string {
	if c.message == nil {
		return c.Message
	}
	out, _, err := c.message.ContextEval(ctx, in)
	if err != nil {
		return noMessage + err.Error()
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
