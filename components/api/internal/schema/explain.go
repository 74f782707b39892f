package schema

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// explain turns what the validator found into words: what is wrong, and what
// is allowed. It never repeats what was sent.
func (s *Set) explain(e *jsonschema.ValidationError) []fleet.Problem {
	pointer := pointerOf(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return each(pointer, k.Missing, "is required")
	case *kind.AdditionalProperties:
		schema, message := s.schemaOf(e), "is not a field here"
		if fields, _ := schema["properties"].(map[string]any); len(fields) > 0 {
			message += "; there are " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
		}
		if rule, ok := schema["x-rule-names"].(string); ok {
			message = "its name " + rule
		}
		return each(pointer, k.Properties, message)
	}
	if len(e.Causes) == 0 {
		return []fleet.Problem{{Pointer: pointer, Message: s.message(e)}}
	}
	var found []fleet.Problem
	for _, cause := range e.Causes {
		found = append(found, s.explain(cause)...)
	}
	return found
}

func each(pointer string, members []string, message string) []fleet.Problem {
	found := make([]fleet.Problem, len(members))
	for i, m := range members {
		found[i] = fleet.Problem{Pointer: pointer + pointerOf([]string{m}), Message: message}
	}
	return found
}

func (s *Set) message(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", strings.Join(articles(k.Want), " or "), article(k.Got))
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return "must be " + fmt.Sprint(k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has %d members; at most %d are allowed", k.Got, k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %d elements; at least %d are needed", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d elements; at most %d are allowed", k.Got, k.Want)
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.Pattern, *kind.Format, *kind.MinLength, *kind.MaxLength, *kind.Not:
		if rule, ok := s.schemaOf(e)["x-rule"].(string); ok {
			return rule
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("has %d characters; at least %d are needed", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has %d characters; at most %d are allowed", k.Got, k.Want)
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.Format:
		return "must be a valid " + k.Want
	}
	return "breaks the rule " + strings.Join(e.ErrorKind.KeywordPath(), "/")
}

// schemaOf is the schema, as published, that e is about.
func (s *Set) schemaOf(e *jsonschema.ValidationError) map[string]any {
	_, fragment, _ := strings.Cut(e.SchemaURL, "#")
	if decoded, err := url.PathUnescape(fragment); err == nil {
		fragment = decoded
	}
	schema, _ := s.at(fragment).(map[string]any)
	return schema
}

func pointerOf(location []string) string {
	var b strings.Builder
	for _, key := range location {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

func article(jsonType string) string {
	switch jsonType {
	case "null":
		return jsonType
	case "object", "array", "integer":
		return "an " + jsonType
	}
	return "a " + jsonType
}

func articles(types []string) []string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = article(t)
	}
	return out
}

func list(values []any) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return strings.Join(out, ", ")
}
