package precondition

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// variables gives in the form that expressions see: the API's JSON, whole
// numbers as integers.
func (c *Chain) variables(in Input) (map[string]any, error) {
	var err error
	all := map[string]any{"now": in.Now}
	for _, noun := range c.nouns {
		r, ok := in.Documents[noun]
		if !ok {
			all[noun] = map[string]any{}
		} else if all[noun], err = object(r); err != nil {
			return nil, fmt.Errorf("%s %s: %w", noun, r.ID, err)
		}
	}
	statuses := map[string]any{}
	for _, a := range in.Resource.Status.Adapters {
		if statuses[a.AdapterName], err = object(a); err != nil {
			return nil, fmt.Errorf("report of %s: %w", a.AdapterName, err)
		}
	}
	all["statuses"] = statuses
	return all, nil
}

func object[T fleet.Resource | fleet.AdapterStatus](v T) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return numbers(out).(map[string]any), nil
}

// numbers turns JSON numbers into what CEL calculates with.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // out of range is an infinity, as in JavaScript
		return f
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}
