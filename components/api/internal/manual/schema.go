package manual

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// deepest bounds how far the members of a schema are laid out below one another.
const deepest = 6

// schema is a named schema.
type schema struct {
	Name, Description string
	Type              kind
	Members           []property
}

// property is a member of a schema, or a parameter of an operation.
type property struct {
	Name, Where, Description string
	Required                 bool
	Type                     kind
}

// kind is what a value may be, in words; a part that is a named schema links to it.
type kind struct{ Parts []part }

type part struct{ Text, Schema string }

func (d document) schemas() []schema {
	components, _ := d.root["components"].(object)
	var out []schema
	for name, s := range sorted(components["schemas"]) {
		out = append(out, schema{Name: name, Description: text(s["description"]), Type: d.kind(without(s)), Members: d.members("", s, 0)})
	}
	return out
}

// without leaves a schema's description to its own place.
func without(s object) object {
	out := object{}
	for key, value := range s {
		if key != "description" {
			out[key] = value
		}
	}
	return out
}

// members lists the properties of a schema and of those within, by their path.
func (d document) members(prefix string, s object, depth int) []property {
	if depth > deepest {
		return nil
	}
	var out []property
	for name, p := range sorted(s["properties"]) {
		out = append(out, property{
			Name: prefix + name, Description: text(p["description"]), Required: slices.Contains(list(s["required"]), any(name)), Type: d.kind(p),
		})
		inner, path := p, prefix+name+"."
		if items, ok := p["items"].(object); ok {
			inner, path = items, prefix+name+"[]."
		}
		out = append(out, d.members(path, inner, depth+1)...)
	}
	return out
}

func (d document) kind(v any) kind {
	s, _ := v.(object)
	if ref, ok := s["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		return kind{[]part{{Text: name, Schema: name}}}
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if choices := list(s[key]); len(choices) > 0 {
			var k kind
			for i, choice := range choices {
				if i > 0 {
					k.Parts = append(k.Parts, part{Text: " or "})
				}
				k.Parts = append(k.Parts, d.kind(choice).Parts...)
			}
			return k
		}
	}
	if items, ok := s["items"]; ok {
		return kind{append([]part{{Text: "list of "}}, d.kind(items).Parts...)}
	}
	return kind{[]part{{Text: strings.Join(facts(s), ", ")}}}
}

// facts are what a schema demands of a plain value.
func facts(s object) []string {
	var out []string
	switch t := s["type"].(type) {
	case string:
		out = append(out, t)
	case []any:
		var names []string
		for _, name := range t {
			names = append(names, text(name))
		}
		out = append(out, strings.Join(names, " or "))
	}
	if c, ok := s["const"]; ok {
		out = append(out, "always "+compact(c))
	}
	var values []string
	for _, v := range list(s["enum"]) {
		values = append(values, compact(v))
	}
	if len(values) > 0 {
		out = append(out, "one of "+strings.Join(values, ", "))
	}
	for _, fact := range [][2]string{
		{"format", "%v"}, {"minimum", "at least %v"}, {"maximum", "at most %v"}, {"minLength", "at least %v characters"}, {"maxLength", "at most %v characters"},
		{"minItems", "at least %v items"}, {"maxItems", "at most %v items"}, {"maxProperties", "at most %v members"}, {"x-max-bytes", "at most %v bytes"}, {"default", "by default %v"},
		{"x-rule", "%v"}, {"x-rule-names", "names %v"},
	} {
		v, ok := s[fact[0]]
		if f, isNumber := v.(float64); isNumber {
			v = fmt.Sprintf("%.0f", f)
		}
		if ok {
			out = append(out, fmt.Sprintf(fact[1], v))
		}
	}
	if len(out) == 0 {
		out = append(out, "anything")
	}
	return out
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
