package schema

import (
	"fmt"
	"maps"
	"strings"
)

// Alone returns a component schema as a document of its own, with what it
// refers to in $defs.
func (s *Set) Alone(name string) (map[string]any, error) {
	schema, ok := s.at(where(name)).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the contract has no schema %s", name)
	}
	defs := map[string]any{}
	out, _ := s.rooted(schema, defs).(map[string]any)
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	if len(defs) > 0 {
		out["$defs"] = defs
	}
	return out, nil
}

// rooted copies v with its references leading into defs.
func (s *Set) rooted(v any, defs map[string]any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = s.rooted(v[i], defs)
		}
		return out
	case map[string]any:
		out := maps.Clone(v)
		for key, value := range v {
			out[key] = s.rooted(value, defs)
		}
		if ref, ok := v["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, "#"+where(""))
			if _, done := defs[name]; !done {
				defs[name] = nil // a schema may refer to itself
				defs[name] = s.rooted(s.at(where(name)), defs)
			}
			out["$ref"] = "#/$defs/" + name
		}
		return out
	}
	return v
}
