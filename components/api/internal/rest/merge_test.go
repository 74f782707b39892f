package rest

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestMergeIsRFC7396(t *testing.T) {
	// The table of the RFC's appendix A, and a few of our own.
	for _, tt := range [][3]string{ // original, patch, result
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":[1]}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`}, // arrays replace as they are
		{`{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":1}}`},            // an empty object changes nothing
		{``, `{"a":null,"b":{"c":null}}`, `{"b":{}}`},             // nothing counts as null
		{`{"n":12345678901234567890.10}`, `{"a":"<&>"}`, `{"n":12345678901234567890.10,"a":"<&>"}`},
	} {
		got, err := merge([]byte(tt[0]), []byte(tt[1]))
		if err != nil || !same(got, []byte(tt[2])) {
			t.Errorf("%s patched by %s is %s (%v), want %s", tt[0], tt[1], got, err, tt[2])
		}
	}
}

func TestSameIgnoresOnlySpelling(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2]}`, `{ "b":[2.0],"a":1e0 }`, true},
		{`{"a":null}`, `{}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`1`, `"1"`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`{}`, `[]`, false},
		{`true`, `false`, false},
		{``, `{}`, false},
	} {
		if got := same([]byte(tt.a), []byte(tt.b)); got != tt.want {
			t.Errorf("same(%s, %s) is %v", tt.a, tt.b, got)
		}
	}
}

func TestMergeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target, patch := document(3).Draw(t, "target"), document(3).Draw(t, "patch")
		once, err := merge(target, patch)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := merge(once, patch)
		if err != nil || !same(once, twice) {
			t.Fatalf("patching %s by %s twice gives %s, once %s", target, patch, twice, once)
		}
		if unpatched, err := merge(target, []byte(`{}`)); err == nil && target[0] == '{' && !same(unpatched, target) {
			t.Fatalf("an empty patch turns %s into %s", target, unpatched)
		}
		if p, _ := decode(patch); !holds(once, p) {
			t.Fatalf("%s patched by %s is %s, which does not hold what the patch says", target, patch, once)
		}
	})
}

// holds says whether result shows what a patch demands: null is gone, objects
// hold recursively, anything else is exactly there.
func holds(result json.RawMessage, patch any) bool {
	r, err := decode(result)
	if err != nil {
		return false
	}
	members, ok := patch.(map[string]any)
	if !ok {
		return equal(r, patch)
	}
	object, ok := r.(map[string]any)
	for name, value := range members {
		got, there := object[name]
		if (value == nil) == there {
			return false
		}
		if value == nil {
			continue
		}
		text, err := json.Marshal(got)
		if err != nil || !holds(text, value) {
			return false
		}
	}
	return ok
}

// document generates JSON of a few names, so that patches meet what is there.
func document(depth int) *rapid.Generator[json.RawMessage] {
	return rapid.Custom(func(t *rapid.T) json.RawMessage {
		kinds := 5
		if depth == 0 {
			kinds = 3
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return json.RawMessage(`null`)
		case 1:
			return json.RawMessage(rapid.SampledFrom([]string{`0`, `1.50`, `1e2`, `true`}).Draw(t, "scalar"))
		case 2:
			return json.RawMessage(rapid.SampledFrom([]string{`""`, `"x"`, `"<é>"`}).Draw(t, "text"))
		case 3:
			text, _ := json.Marshal(rapid.SliceOfN(document(depth-1), 0, 2).Draw(t, "array"))
			return text
		default:
			text, _ := json.Marshal(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), document(depth-1), 0, 3).Draw(t, "object"))
			return text
		}
	})
}
