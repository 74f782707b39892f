package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// merge applies a JSON Merge Patch (RFC 7396) to a document; nothing at all
// counts as null. Numbers keep their text.
func merge(target, patch json.RawMessage) (json.RawMessage, error) {
	t, err := decode(target)
	if err != nil {
		return nil, fmt.Errorf("read what is patched: %w", err)
	}
	p, err := decode(patch)
	if err != nil {
		return nil, fmt.Errorf("read the patch: %w", err)
	}
	b, err := encode(merged(t, p))
	return bytes.TrimSuffix(b, []byte("\n")), err
}

func merged(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range members {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merged(object[name], value)
		}
	}
	return object
}

func decode(text json.RawMessage) (any, error) {
	if len(text) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// same says whether two documents mean the same: the order of names, white
// space and the spelling of numbers do not count.
func same(a, b json.RawMessage) bool {
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && equal(x, y)
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || number(a).Cmp(number(b)) == 0)
	default:
		return a == b
	}
}

// number is exact. The door has bounded digits and exponent.
func number(n json.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return new(big.Rat)
	}
	return r
}
