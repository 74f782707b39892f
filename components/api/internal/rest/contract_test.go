package rest_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/libs/fleet/openapi"
)

type object = map[string]any

// contract is a published document. In schemas of answers, what is not
// described is forbidden here, so that an undocumented field is found.
type contract struct {
	t        testing.TB
	document object
	compiler *jsonschema.Compiler
	mu       sync.Mutex // of what follows
	schemas  int        // compiled so far, which names the next
	compiled map[uintptr]*jsonschema.Schema
	alive    []any // what was compiled, so that nothing else gets its address
}

func readContract(t testing.TB) *contract { return newContract(t, openapi.API()) }

func newContract(t testing.TB, text []byte) *contract {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{t: t, document: document.(object), compiler: jsonschema.NewCompiler(), compiled: map[uintptr]*jsonschema.Schema{}}
	components, _ := c.at("components/schemas").(object)
	for name, schema := range components {
		schema := schema.(object)
		if schema["properties"] != nil && schema["additionalProperties"] == nil && !strings.HasSuffix(name, "Spec") {
			schema["additionalProperties"] = false
		}
	}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("test:///contract", document); err != nil {
		t.Fatal(err)
	}
	return c
}

// at returns what stands at a path of keys (with / written ~1), following $ref.
func (c *contract) at(path string) any {
	var v any = c.document
	for _, key := range strings.Split(path, "/") {
		node, _ := v.(object)
		v = c.follow(node[strings.ReplaceAll(key, "~1", "/")])
	}
	return v
}

func (c *contract) follow(v any) any {
	if node, ok := v.(object); ok && len(node) == 1 {
		if ref, ok := node["$ref"].(string); ok {
			return c.at(strings.TrimPrefix(ref, "#/"))
		}
	}
	return v
}

// check judges a value by a schema of the document.
func (c *contract) check(schema any, value any) error { return c.compile(schema).Validate(value) }

// compile makes a schema document of its own whose references reach the contract.
func (c *contract) compile(schema any) *jsonschema.Schema {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var known uintptr
	if _, ok := schema.(object); ok {
		known = reflect.ValueOf(schema).Pointer()
		if compiled := c.compiled[known]; compiled != nil {
			return compiled
		}
	}
	c.schemas++
	name := fmt.Sprintf("test:///%d", c.schemas)
	if err := c.compiler.AddResource(name, absolute(schema)); err != nil {
		c.t.Fatal(err)
	}
	compiled, err := c.compiler.Compile(name)
	if err != nil {
		c.t.Fatal(err)
	}
	if known != 0 {
		c.compiled[known] = compiled
		c.alive = append(c.alive, schema)
	}
	return compiled
}

// absolute returns a copy whose references name the contract.
func absolute(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for key, value := range v {
			if ref, ok := value.(string); ok && key == "$ref" {
				out[key] = "test:///contract" + ref
				continue
			}
			out[key] = absolute(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = absolute(v[i])
		}
		return out
	}
	return v
}

// template finds the path of the contract that a request went to.
func (c *contract) template(path string) (string, bool) {
	path = strings.TrimPrefix(path, "/v1")
	paths := c.at("paths").(object)
	if _, ok := paths[path]; ok {
		return path, true
	}
	for template := range paths {
		want, got := strings.Split(template, "/"), strings.Split(path, "/")
		if slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, "{") && g != "" }) {
			return template, true
		}
	}
	return "", false
}

// judge is a transport that fails the test where an answer is not what the
// contract says.
type judge struct {
	t        testing.TB
	next     http.RoundTripper
	contract *contract
}

func (j *judge) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := j.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err := j.contract.answer(req, resp, body); err != nil {
		j.t.Errorf("%s %s answered %d, not as the contract says: %v\n%s", req.Method, req.URL.Path, resp.StatusCode, err, body)
	}
	return resp, nil
}

func (c *contract) answer(req *http.Request, resp *http.Response, body []byte) error {
	documented := c.documented(req, resp)
	if documented == nil {
		return fmt.Errorf("this status is not documented")
	}
	headers, _ := documented["headers"].(object)
	for name := range headers {
		if resp.Header.Get(name) == "" {
			return fmt.Errorf("header %s is missing", name)
		}
	}
	content, _ := documented["content"].(object)
	if len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("there is a body")
		}
		return nil
	}
	media, ok := content[resp.Header.Get("Content-Type")].(object)
	switch {
	case !ok:
		return fmt.Errorf("content type %q is not documented", resp.Header.Get("Content-Type"))
	case req.Method == http.MethodHead, !strings.HasSuffix(resp.Header.Get("Content-Type"), "json"):
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return c.check(media["schema"], value)
}

// documented is the response that the contract describes, nil if none.
func (c *contract) documented(req *http.Request, resp *http.Response) object {
	var found any
	template, ok := c.template(req.URL.Path)
	method := strings.ToLower(strings.Replace(req.Method, http.MethodHead, http.MethodGet, 1))
	switch {
	case !ok:
		if resp.StatusCode == http.StatusNotFound {
			found = c.at("components/responses/NotFound")
		}
	case resp.StatusCode == http.StatusMethodNotAllowed:
		found = c.at("components/responses/MethodNotAllowed")
	default:
		found = c.at(fmt.Sprintf("paths/%s/%s/responses/%d", strings.ReplaceAll(template, "/", "~1"), method, resp.StatusCode))
	}
	documented, _ := found.(object)
	return documented
}

func TestTheRouterAndTheContractNameTheSameRoutes(t *testing.T) {
	documented := map[string][]string{}
	for path, item := range readContract(t).at("paths").(object) {
		for key := range item.(object) {
			if key != "parameters" {
				documented[path] = append(documented[path], strings.ToUpper(key))
			}
		}
		slices.Sort(documented[path])
	}
	served := map[string][]string{}
	for path, rules := range rest.Rules() {
		served[path] = slices.Sorted(maps.Keys(rules))
	}
	if diff := cmp.Diff(documented, served); diff != "" {
		t.Errorf("documented (-) and served (+):\n%s", diff)
	}
}

// Who may ask is said twice, beside the handler and in the contract, so that
// neither is changed by mistake.
func TestTheRouterAndTheContractNameTheSameRules(t *testing.T) {
	c := readContract(t)
	for path, rules := range rest.Rules() {
		for method, rule := range rules {
			op := c.at("paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(method)).(object)
			var roles []string
			for _, name := range asList(op["x-roles"]) {
				roles = append(roles, name.(string))
			}
			slices.Sort(roles)
			want := rule.Names()
			slices.Sort(want)
			if diff := cmp.Diff(roles, want); diff != "" {
				t.Errorf("%s %s: x-roles (-) and the router (+):\n%s", method, path, diff)
			}
			if got, want := op["x-tenants"] == "all", rule&auth.Fleet != 0; got != want {
				t.Errorf("%s %s: x-tenants is all: %t, in the router: %t", method, path, got, want)
			}
			narrowed := rule&(auth.Fleet|auth.Public|auth.Shared) == 0
			if got := c.narrows(path, op); got != narrowed {
				t.Errorf("%s %s: tenant is a parameter: %t, in the router: %t", method, path, got, narrowed)
			}
			security, own := op["security"]
			public := rule&auth.Public != 0
			if open := own && len(asList(security)) == 0; open != public {
				t.Errorf("%s %s: security is []: %t, public in the router: %t", method, path, open, public)
			}
			for _, status := range []string{"401", "403", "429"} {
				if _, documented := op["responses"].(object)[status]; documented == public {
					t.Errorf("%s %s: %s documented: %t, public: %t", method, path, status, documented, public)
				}
			}
		}
	}
}

// narrows says whether an operation has the parameter tenant.
func (c *contract) narrows(path string, op object) bool {
	item := c.at("paths/" + strings.ReplaceAll(path, "/", "~1")).(object)
	for _, p := range append(slices.Clone(asList(item["parameters"])), asList(op["parameters"])...) {
		if p.(object)["$ref"] == "#/components/parameters/tenant" {
			return true
		}
	}
	return false
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func TestEveryExampleSatisfiesItsSchema(t *testing.T) {
	for name, text := range map[string][]byte{"hyperfleet.yaml": openapi.API(), "asyncapi.yaml": openapi.Events()} {
		c := newContract(t, text)
		n := 0
		c.examples(name, c.document, func(where string, schema, value any) {
			n++
			if err := c.check(schema, value); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		})
		if n == 0 {
			t.Errorf("%s has no example", name)
		}
	}
}

// examples finds every example beside its schema: of media types and
// parameters, of schemas themselves, and of messages.
func (c *contract) examples(where string, v any, found func(where string, schema, value any)) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			c.examples(fmt.Sprintf("%s/%d", where, i), e, found)
		}
	case object:
		schema := v["schema"]
		if schema == nil {
			schema = v["payload"]
		}
		if e, ok := v["example"]; ok && schema != nil {
			found(where+"/example", schema, e)
		}
		switch examples := v["examples"].(type) {
		case object:
			for name, e := range examples {
				found(where+"/"+name, schema, e.(object)["value"])
			}
		case []any:
			for i, e := range examples {
				if payload, ok := payloadOf(e); ok {
					found(fmt.Sprintf("%s/examples/%d", where, i), schema, payload)
				} else {
					found(fmt.Sprintf("%s/examples/%d", where, i), without(v, "examples"), e)
				}
			}
		}
		for key, e := range v {
			if key != "examples" && key != "example" {
				c.examples(where+"/"+key, e, found)
			}
		}
	}
}

func payloadOf(example any) (any, bool) {
	message, _ := example.(object)
	payload, ok := message["payload"]
	return payload, ok
}

func without(o object, key string) object {
	o = maps.Clone(o)
	delete(o, key)
	return o
}

func TestTheContractIsServed(t *testing.T) {
	b := serve(t, nil, 0)
	for _, path := range []string{"/openapi.yaml", "/v1/openapi.yaml"} {
		if got := b.send(request{method: "GET", path: path}); !bytes.Equal(got.body, openapi.API()) {
			t.Errorf("GET %s is not the published document", path)
		}
	}
}
