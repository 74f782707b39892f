package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// base is the document's name among the schemas; nothing is ever fetched.
const base = "hyperfleet:///openapi"

// Set is the compiled schemas of a contract. It is safe for concurrent use.
type Set struct {
	document any
	schemas  map[string]*jsonschema.Schema
	least    map[string]int // the lowest x-max-bytes of a schema or of its members
}

// New compiles every component schema of an OpenAPI 3.1 document in YAML.
func New(openapi []byte) (*Set, error) {
	text, err := yaml.YAMLToJSONStrict(openapi)
	if err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	s := &Set{document: document, schemas: map[string]*jsonschema.Schema{}, least: map[string]int{}}
	components, _ := s.at("/components/schemas").(map[string]any)
	compiler, err := s.compiler()
	if err != nil {
		return nil, err
	}
	for name := range components {
		if s.schemas[name], err = compiler.Compile(base + "#" + where(name)); err != nil {
			return nil, fmt.Errorf("compile schema %s: %w", name, err)
		}
		s.least[name] = s.lowest(name)
	}
	return s, nil
}

// compiler returns a compiler that knows the document and nothing else.
func (s *Set) compiler() (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	for _, f := range formats() {
		c.RegisterFormat(f)
	}
	if err := c.AddResource(base, s.document); err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	return c, nil
}

// noLoader refuses every URL: a contract stands alone.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema may refer to its own document only", url)
}

func where(name string) string { return "/components/schemas/" + name }

// Decode reads body, which must satisfy the named schema, into a value. It
// answers [fleet.BadRequest] for what is not readable and [fleet.Invalid] for
// what breaks a rule, with every problem.
func (s *Set) Decode(name string, body []byte, into any) error {
	if err := Syntax(body); err != nil {
		return err
	}
	if err := s.Judge(name, "", body); err != nil {
		return err
	}
	err := json.Unmarshal(body, into)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) { // such as 1.0 or 1e3 for a whole number
		return problems(fleet.Invalid, detail, []fleet.Problem{{
			Pointer: "/" + strings.ReplaceAll(mismatch.Field, ".", "/"), Message: "must be written as a plain whole number",
		}})
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", name, err)
	}
	return nil
}

const detail = "the request breaks a rule of the API's contract"

// Judge says, as a [fleet.Invalid] with every problem, whether value satisfies
// the named schema. Pointers begin with prefix, which is where value stands in
// what the caller sent. value must have passed [Syntax].
func (s *Set) Judge(name, prefix string, value []byte) error {
	found, err := s.Problems(name, prefix, value)
	if err != nil {
		return err
	}
	return problems(fleet.Invalid, detail, found)
}

// Problems is Judge for callers that gather problems from several values.
func (s *Set) Problems(name, prefix string, value []byte) ([]fleet.Problem, error) {
	compiled := s.schemas[name]
	if compiled == nil {
		return nil, fmt.Errorf("the contract has no schema %s", name)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	found := s.oversize(name, value)
	err = compiled.Validate(decoded)
	var invalid *jsonschema.ValidationError
	switch {
	case errors.As(err, &invalid):
		found = append(found, s.explain(invalid)...)
	case err != nil:
		return nil, fmt.Errorf("judge %s: %w", name, err)
	}
	for i := range found {
		found[i].Pointer = prefix + found[i].Pointer
	}
	slices.SortStableFunc(found, func(a, b fleet.Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return slices.Compact(found), nil
}

// lowest is the lowest x-max-bytes of the named schema or of its members.
func (s *Set) lowest(name string) int {
	schema, _ := s.at(where(name)).(map[string]any)
	least := limit(schema)
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		member, _ := property.(map[string]any)
		least = min(least, limit(s.resolve(member)))
	}
	return least
}

// limit is a schema's x-max-bytes.
func limit(schema map[string]any) int {
	number, _ := schema["x-max-bytes"].(json.Number)
	if most, err := strconv.Atoi(number.String()); err == nil {
		return most
	}
	return math.MaxInt
}

// oversize applies x-max-bytes to value and, if it is an object, to its members.
// None of them counts more bytes than value is written with.
func (s *Set) oversize(name string, value []byte) []fleet.Problem {
	if len(value) <= s.least[name] {
		return nil
	}
	var found []fleet.Problem
	judge := func(schema map[string]any, pointer string, value []byte) {
		most := limit(schema)
		if len(value) <= most {
			return
		}
		if n := size(value); n > most {
			found = append(found, fleet.Problem{Pointer: pointer, Message: fmt.Sprintf("has %d bytes; at most %d are allowed", n, most)})
		}
	}
	schema, _ := s.at(where(name)).(map[string]any)
	judge(schema, "", value)
	var members map[string]json.RawMessage
	if json.Unmarshal(value, &members) != nil {
		return found
	}
	properties, _ := schema["properties"].(map[string]any)
	for member, text := range members {
		property, _ := properties[member].(map[string]any)
		judge(s.resolve(property), "/"+member, text)
	}
	return found
}

// size is what the limits count: the bytes of a string, else of compact JSON.
func size(value []byte) int {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return len(text)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return len(value)
	}
	return compact.Len()
}

// resolve follows references within the document.
func (s *Set) resolve(schema map[string]any) map[string]any {
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			return schema
		}
		schema, _ = s.at(strings.TrimPrefix(ref, "#")).(map[string]any)
	}
}

// at returns what a JSON pointer points to in the document, nil if nothing.
func (s *Set) at(pointer string) any {
	v := s.document
	for _, key := range strings.Split(pointer, "/")[1:] {
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
		switch node := v.(type) {
		case map[string]any:
			v = node[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(node) {
				return nil
			}
			v = node[i]
		default:
			return nil
		}
	}
	return v
}
