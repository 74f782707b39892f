package v1alpha1

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// misfit is a place where a document does not have its type's form.
type misfit struct {
	path, what string
	unknown    bool // there is no such field
}

func (m misfit) String() string { return m.path + ": " + m.what }

// form names every place where value, as JSON decodes it, does not have the
// form of type t, and takes what is there out of value. The decoder of the standard library stops at the first such
// place and, in types with a decoder of their own, does not say where it is.
func form(path string, value any, t reflect.Type) []misfit {
	if value == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		return form(path, value, t.Elem())
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return formOfOwnDecoder(path, value, t)
	}
	switch t.Kind() {
	case reflect.Struct:
		return formOfStruct(path, value, t)
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			return mismatch(path, "an object", value)
		}
		var problems []misfit
		for _, k := range slices.Sorted(maps.Keys(object)) {
			within := form(join(path, k), object[k], t.Elem())
			problems = append(problems, within...)
			if is(within, join(path, k)) {
				delete(object, k)
			}
		}
		return problems
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			return mismatch(path, "a list", value)
		}
		var problems []misfit
		for i, v := range list {
			at := fmt.Sprintf("%s[%d]", path, i)
			within := form(at, v, t.Elem())
			problems = append(problems, within...)
			if is(within, at) {
				list[i] = nil // the others keep their places
			}
		}
		return problems
	default:
		return formOfScalar(path, value, t)
	}
}

func formOfStruct(path string, value any, t reflect.Type) []misfit {
	object, ok := value.(map[string]any)
	if !ok {
		return mismatch(path, "an object", value)
	}
	var (
		problems []misfit
		types    = fields(t)
	)
	for _, k := range slices.Sorted(maps.Keys(object)) {
		field, known := types[k]
		if !known {
			problems = append(problems, misfit{join(path, k), "unknown field", true})
			continue
		}
		within := form(join(path, k), object[k], field)
		problems = append(problems, within...)
		if is(within, join(path, k)) {
			delete(object, k)
		}
	}
	return problems
}

// is says whether the value at path itself is a misfit.
func is(problems []misfit, path string) bool {
	return slices.ContainsFunc(problems, func(m misfit) bool { return m.path == path })
}

// fields maps the JSON names of t's fields, embedded ones included, to their types.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			maps.Copy(out, fields(f.Type))
		case name == "":
			out[f.Name] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

func formOfOwnDecoder(path string, value any, t reflect.Type) []misfit {
	raw, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(raw, reflect.New(t).Interface())
	}
	if err != nil {
		return []misfit{{path: path, what: err.Error()}}
	}
	return nil
}

func formOfScalar(path string, value any, t reflect.Type) []misfit {
	raw, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(raw, reflect.New(t).Interface())
	}
	if err != nil {
		return mismatch(path, "a "+t.Kind().String(), value)
	}
	return nil
}

func mismatch(path, want string, got any) []misfit {
	if path == "" {
		path = "document"
	}
	return []misfit{{path: path, what: fmt.Sprintf("must be %s, not %s", want, shown(got))}}
}

// shown names a value without printing much of it.
func shown(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("the string %.40q", v)
	default:
		return fmt.Sprint(v)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
