package service

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// loadSection decodes a section of the file into target, a pointer, and returns
// every problem of it, each with the path to its key.
func loadSection(key string, value json.RawMessage, target any) []error {
	if problems := misfits(key, value, reflect.TypeOf(target).Elem()); len(problems) > 0 {
		return problems
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(target); err != nil {
		return []error{fmt.Errorf("%s: %s", key, strings.TrimPrefix(err.Error(), "json: "))}
	}
	return nil
}

// misfits says where value does not fit t. The decoder stops at the first place.
func misfits(path string, value json.RawMessage, t reflect.Type) (problems []error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	kind := t.Kind()
	if decodesItself(t) {
		kind = reflect.Invalid
	}
	switch kind {
	case reflect.Struct:
		return misfitsOfFields(path, value, fields(t))
	case reflect.Map:
		var values map[string]json.RawMessage
		if json.Unmarshal(value, &values) != nil {
			return []error{fmt.Errorf("%s: must be a mapping", path)}
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			problems = append(problems, misfits(path+"."+name, values[name], t.Elem())...)
		}
	case reflect.Slice:
		var values []json.RawMessage
		if json.Unmarshal(value, &values) != nil {
			return []error{fmt.Errorf("%s: must be a list", path)}
		}
		for i, v := range values {
			problems = append(problems, misfits(fmt.Sprintf("%s[%d]", path, i), v, t.Elem())...)
		}
	default:
		err := json.Unmarshal(value, reflect.New(t).Interface())
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return []error{fmt.Errorf("%s: must be of type %s", path, t)}
		}
		if err != nil {
			return []error{fmt.Errorf("%s: %w", path, err)}
		}
	}
	return problems
}

func misfitsOfFields(path string, value json.RawMessage, known map[string]reflect.Type) (problems []error) {
	var values map[string]json.RawMessage
	if json.Unmarshal(value, &values) != nil {
		return []error{fmt.Errorf("%s: must be a mapping", path)}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t, ok := known[name]
		if !ok {
			problems = append(problems, fmt.Errorf("%s.%s: is no setting (there are %s)",
				path, name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
			continue
		}
		problems = append(problems, misfits(path+"."+name, values[name], t)...)
	}
	return problems
}

// fields are those that a file may set, by the names that they have there.
func fields(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-" || f.Anonymous && name == "":
		case name == "":
			known[f.Name] = f.Type
		default:
			known[name] = f.Type
		}
	}
	return known
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
