package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/openapi"
)

func contract(t testing.TB) *schema.Set {
	t.Helper()
	s, err := schema.New(openapi.API())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// said lists the problems of err, one "pointer: message" each, after its code.
func said(err error) []string {
	if err == nil {
		return nil
	}
	out := []string{string(fleet.ErrorCode(err))}
	var e *fleet.Error
	if errors.As(err, &e) {
		for _, p := range e.Problems {
			out = append(out, p.Pointer+": "+p.Message)
		}
	}
	return out
}

func TestOnlyReadableDocumentsPass(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := map[string]struct {
		body string
		want []string // beginnings; nil = passes
	}{
		"an object passes":                     {`{"a":[1,-2.5e3,true,null,"é",{}]}`, nil},
		"the deepest nesting passes":           {deep(64), nil},
		"one level more does not":              {deep(65), []string{"/0/0"}},
		"nothing":                              {"  \n", []string{": is empty"}},
		"an open object":                       {`{"a":`, []string{"/a: ends too early"}},
		"two documents":                        {`{} {}`, []string{": holds more than one"}},
		"garbage after the document":           {`{} x`, []string{": is not JSON at byte 3"}},
		"a trailing comma":                     {`{"a":1,}`, []string{": is not JSON at byte 6"}},
		"bad UTF-8":                            {"{\"a\":\"\xff\"}", []string{"/a: is not JSON"}},
		"a lone surrogate":                     {`{"a":"\ud800"}`, []string{"/a: is not JSON"}},
		"U+0000 in a value":                    {`{"a":{"b":"x\u0000"}}`, []string{"/a/b: holds the character U+0000"}},
		"U+0000 in a name":                     {`{"a\u0000":1}`, []string{"/a\x00: holds the character U+0000"}},
		"a name twice":                         {`{"a":{"b":1,"b":2}}`, []string{"/a/b: stands twice"}},
		"a name twice, spelt differently":      {`{"a":1,"\u0061":2}`, []string{"/a: stands twice"}},
		"equal names in different objects":     {`[{"a":1},{"a":{"a":1}}]`, nil},
		"equal values in an array":             {`["a","a"]`, nil},
		"a number beyond float64":              {`[1e309]`, []string{"/0: must be a number within"}},
		"a number below float64":               {`{"a":-1e-400}`, []string{"/a: must be a number within"}},
		"an endless number":                    {`[0.` + strings.Repeat("1", 2000) + `]`, []string{"/0: must be a number within"}},
		"zero in any spelling":                 {`[0, 0.000, -0e999, 0e-0000001]`, nil},
		"a zero with an absurd exponent":       {`[0e1000]`, []string{"/0: must be a number within"}},
		"many problems are all named":          {`{"a":1e999,"a":"\u0000","b":[1e999]}`, []string{"/a: must be", "/a: stands twice", "/a: holds", "/b/0: must be"}},
		"what stands after a problem is named": {`{"a":1e999,"b"`, []string{"/a: must be", "/b: ends too early"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := said(schema.Syntax([]byte(tt.body)))
			if tt.want == nil {
				if got != nil {
					t.Fatalf("refused: %q", got)
				}
				return
			}
			if len(got) != len(tt.want)+1 || got[0] != string(fleet.BadRequest) {
				t.Fatalf("got %q, want bad_request and %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i+1], want) {
					t.Errorf("got %q, want %q…", got[i+1], want)
				}
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	body := `["\u0000"` + strings.Repeat(`,"\u0000"`, 10_000) + `]`
	if got := said(schema.Syntax([]byte(body))); len(got) > 102 {
		t.Errorf("%d problems in one answer", len(got))
	}
}

const rfc1123 = "must be an RFC 1123 label (at most 63 lower-case letters, digits and '-', starting and ending with a letter or digit)"

func TestEveryBrokenRuleIsNamed(t *testing.T) {
	set := contract(t)
	many := func(n int) string {
		labels := map[string]string{}
		for i := range n {
			labels[fmt.Sprintf("k%d", i)] = ""
		}
		b, err := json.Marshal(labels)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	key := "its name must be a Kubernetes label key"
	value := "must be a Kubernetes label value"
	tests := map[string]struct {
		schema, body string
		want         []string
	}{
		"no name":                       {"ClusterCreate", `{}`, []string{"/name: is required"}},
		"a list instead of an object":   {"ClusterCreate", `[]`, []string{": must be an object, not an array"}},
		"unknown fields":                {"ClusterCreate", `{"name":"a","Name":"a","status":{}}`, []string{"/Name: is not a field here; there are deletion_protection, labels, name, paused, spec", "/status: is not a field"}},
		"an upper-case name":            {"ClusterCreate", `{"name":"Prod"}`, []string{"/name: " + rfc1123}},
		"a long bad name, said once":    {"ClusterCreate", `{"name":"` + strings.Repeat("A", 70) + `"}`, []string{"/name: " + rfc1123}},
		"a name ending in a line break": {"ClusterCreate", `{"name":"a\n"}`, []string{"/name: " + rfc1123}},
		"null is no name":               {"ClusterCreate", `{"name":null}`, []string{"/name: must be a string, not null"}},
		"everything at once": {"ClusterCreate", `{"name":7,"labels":{"-":"x","a":"b c","n":1},"spec":[]}`, []string{
			"/labels/-: " + key, "/labels/a: " + value, "/labels/n: must be a string, not a number",
			"/name: must be a string, not a number", "/spec: must be an object, not an array"}},
		"typed fields of spec, deep": {"ClusterCreate", `{"name":"a","spec":{"version":4.16,"networking":{"hostPrefix":"23"},"nodePools":[{},{"replicas":1.5}]}}`, []string{
			"/spec/networking/hostPrefix: must be an integer, not a string", "/spec/nodePools/1/replicas: must be an integer, not a number",
			"/spec/version: must be a string, not a number"}},
		"unknown fields of spec are welcome": {"ClusterCreate", `{"name":"a","spec":{"anything":{"goes":[1]}}}`, nil},
		"64 labels":                          {"ClusterCreate", `{"name":"a","labels":` + many(64) + `}`, nil},
		"65 labels":                          {"ClusterCreate", `{"name":"a","labels":` + many(65) + `}`, []string{"/labels: has 65 members; at most 64 are allowed"}},
		"a label key with a prefix":          {"Labels", `{"a.b-c.example/` + strings.Repeat("x", 63) + `":"` + strings.Repeat("x", 63) + `"}`, nil},
		"a long label key and value":         {"Labels", `{"` + strings.Repeat("x", 64) + `":"` + strings.Repeat("x", 64) + `"}`, []string{"/", "/"}},
		"a long prefix":                      {"Labels", `{"` + strings.Repeat("x", 254) + `/y":""}`, []string{"/" + strings.Repeat("x", 254) + "~1y: must not have a name with a prefix"}},
		"a spec at its limit":                {"ClusterSpec", `{"a":"` + strings.Repeat("x", 512<<10-8) + `"}`, nil},
		"white space does not count":         {"ClusterSpec", `{"a":` + strings.Repeat(" ", 1000) + `"` + strings.Repeat("x", 512<<10-8) + `"}`, nil},
		"a spec over its limit":              {"ClusterCreate", `{"name":"a","spec":{"a":"` + strings.Repeat("x", 512<<10-7) + `"}}`, []string{"/spec: has 524289 bytes; at most 524288 are allowed"}},
		"a message over its limit in bytes":  {"ReportCreate", `{"adapter_name":"a","phase":"Failed","message":"` + strings.Repeat("é", 2049) + `"}`, []string{"/message: has 4098 bytes"}},
		"data over its limit":                {"ReportPatch", `{"data":{"a":"` + strings.Repeat("x", 32<<10) + `"}}`, []string{"/data: has 32776 bytes"}},
		"a report that is wrong all over": {"ReportCreate", `{"adapter_name":"DNS","phase":"Done","message":1,"last_transition_time":"yesterday","observed_generation":0,"attempt":0,"attempt_base":-1,"retry_after":"-1s","checked_at":"1969-12-31T23:59:59Z","data":[]}`, []string{
			"/adapter_name: " + rfc1123, "/attempt: must be at least 1", "/attempt_base: must be at least 0",
			"/checked_at: must be an RFC 3339 time", "/data: must be an object, not an array", "/last_transition_time: must be an RFC 3339 time",
			"/message: must be a string, not a number", "/observed_generation: must be at least 1",
			"/phase: must be one of Pending, Running, Complete, Failed", "/retry_after: must be a duration that is not negative"}},
		"a number that only looks whole": {"ReportCreate", `{"adapter_name":"a","phase":"Failed","attempt":1.0}`, []string{"/attempt: must be written as a plain whole number"}},
		"backoffs and tokens":            {"Published", `{"tokens":["",1],"backoffNotReady":"10","backoffReady":30}`, []string{"/backoffNotReady: must be a duration", "/backoffReady: must be a string", "/tokens/0: has 0 characters", "/tokens/1: must be a string"}},
		"no tokens":                      {"Published", `{"tokens":[],"backoffNotReady":"0s","backoffReady":"1h"}`, []string{"/tokens: has 0 elements"}},
		"a patch of what may not change": {"ClusterPatch", `{"name":"b","spec":7,"labels":{"a":null,"b":1}}`, []string{"/labels/b: must be null or a string, not a number", "/name: is not a field here; there are deletion_protection, labels, paused, spec", "/spec: must be null or an object"}},
		"a patch with bad labels":        {"ClusterPatch", `{"labels":{"a b":"c","d":"e f"}}`, []string{"/labels/a b: " + key, "/labels/d: must be null, or a Kubernetes label value"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var into any
			if tt.schema == "ReportCreate" {
				into = &fleet.NewReport{}
			}
			got := said(set.Decode(tt.schema, []byte(tt.body), &into))
			if tt.want == nil {
				if got != nil {
					t.Fatalf("refused: %q", got)
				}
				return
			}
			if len(got) != len(tt.want)+1 || got[0] != string(fleet.Invalid) {
				t.Fatalf("got %q, want invalid and %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i+1], want) {
					t.Errorf("got %q, want %q…", got[i+1], want)
				}
			}
		})
	}
}

func TestTheExampleClustersAreReadable(t *testing.T) {
	set := contract(t)
	for _, name := range []string{"cluster.json", "cluster-bad-policy.json"} {
		body, err := os.ReadFile("../../../../docs/examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var in fleet.NewResource
		if err := set.Decode("ClusterCreate", body, &in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if in.Name == "" || in.Labels["region"] == "" || len(in.Spec) == 0 {
			t.Errorf("%s: read as %+v", name, in)
		}
	}
}

func TestAContractStandsAlone(t *testing.T) {
	for name, doc := range map[string]string{
		"a schema elsewhere":      "components: {schemas: {A: {$ref: 'http://127.0.0.1:1/x'}}}",
		"a file":                  "components: {schemas: {A: {$ref: 'file:///etc/passwd'}}}",
		"a schema that is none":   "components: {schemas: {A: {type: 7}}}",
		"no YAML":                 "{",
		"a key that stands twice": "a: 1\na: 2",
	} {
		if _, err := schema.New([]byte(doc)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzSyntax(f *testing.F) {
	for _, s := range []string{`{"name":"a"}`, `[1e309]`, `{"a":1,"a":2}`, `"\u0000"`, "\xff", `{} {}`, strings.Repeat("[", 70), `{"":{"":[0,{"~/":1}]}}`} {
		f.Add([]byte(s))
	}
	set := contract(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if schema.Syntax(body) != nil {
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("let in what is not JSON in UTF-8: %q", body)
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("let in what cannot be decoded: %v", err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(again), `\u0000`) && !strings.Contains(string(again), `\\u0000`) {
			t.Fatalf("let in U+0000: %q", body)
		}
		var in fleet.NewResource
		if err := set.Decode("ClusterCreate", body, &in); err == nil && in.Name == "" {
			t.Fatalf("let in a cluster without a name: %q", body)
		} else if code := fleet.ErrorCode(err); err != nil && code != fleet.Invalid {
			t.Fatalf("readable, yet %s: %v", code, err)
		}
	})
}

func TestProblemsHoldNothingThatWasSent(t *testing.T) {
	err := contract(t).Decode("ClusterCreate", []byte(`{"name":"Secret-Value","labels":{"a":"Secret Value"}}`), new(any))
	if got := strings.Join(said(err), "\n"); strings.Contains(got, "Secret") {
		t.Errorf("the values are repeated: %s", got)
	}
	if diff := cmp.Diff(3, len(said(err))); diff != "" {
		t.Error(diff)
	}
}
