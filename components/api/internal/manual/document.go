package manual

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

type object = map[string]any

// document is the contract as it was read.
type document struct{ root object }

// Content of the page.
type (
	content struct {
		Title, Version, Summary, Description string
		Groups                               []group
		Schemas                              []schema
	}
	group struct {
		Name, Description string
		Operations        []operation
	}
	operation struct {
		ID, Method, Path, Summary, Description string
		Roles                                  []string
		Public, AllTenants                     bool
		Parameters                             []property
		Bodies                                 []body
		Answers                                []answer
	}
	body struct {
		Media    string
		Type     kind
		Examples []string
	}
	answer struct {
		Status, Description string
		Type                kind
	}
)

func (d document) content() content {
	info, _ := d.root["info"].(object)
	c := content{Title: text(info["title"]), Version: text(info["version"]), Summary: text(info["summary"]), Description: text(info["description"])}
	for _, t := range list(d.root["tags"]) {
		tag, _ := t.(object)
		c.Groups = append(c.Groups, group{Name: text(tag["name"]), Description: text(tag["description"])})
	}
	paths, _ := d.root["paths"].(object)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(object)
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			op, ok := item[method].(object)
			if !ok {
				continue
			}
			o, tag := d.operation(path, method, item, op)
			i := slices.IndexFunc(c.Groups, func(g group) bool { return g.Name == tag })
			if i < 0 {
				c.Groups = append(c.Groups, group{Name: tag})
				i = len(c.Groups) - 1
			}
			c.Groups[i].Operations = append(c.Groups[i].Operations, o)
		}
	}
	c.Groups = slices.DeleteFunc(c.Groups, func(g group) bool { return len(g.Operations) == 0 })
	c.Schemas = d.schemas()
	return c
}

func (d document) operation(path, method string, item, op object) (operation, string) {
	o := operation{ID: text(op["operationId"]), Method: strings.ToUpper(method), Path: path, Summary: text(op["summary"]), Description: text(op["description"])}
	_, o.Public = op["security"] // the contract says it only to take it away
	o.AllTenants = op["x-tenants"] == "all"
	for _, r := range list(op["x-roles"]) {
		o.Roles = append(o.Roles, text(r))
	}
	for _, p := range append(list(item["parameters"]), list(op["parameters"])...) {
		parameter := d.follow(p)
		o.Parameters = append(o.Parameters, property{
			Name: text(parameter["name"]), Where: text(parameter["in"]), Required: parameter["required"] == true,
			Description: text(parameter["description"]), Type: d.kind(parameter["schema"]),
		})
	}
	request := d.follow(op["requestBody"])
	for media, m := range sorted(request["content"]) {
		o.Bodies = append(o.Bodies, body{Media: media, Type: d.kind(m["schema"]), Examples: examples(m)})
	}
	for status, r := range sorted(op["responses"]) {
		r = d.follow(r)
		a := answer{Status: status, Description: text(r["description"])}
		for _, m := range sorted(r["content"]) {
			a.Type = d.kind(m["schema"])
		}
		o.Answers = append(o.Answers, a)
	}
	tag := ""
	if tags := list(op["tags"]); len(tags) > 0 {
		tag = text(tags[0])
	}
	return o, tag
}

// examples shows those of a media type as JSON.
func examples(media object) []string {
	var out []string
	for _, e := range sorted(media["examples"]) {
		if b, err := json.MarshalIndent(e["value"], "", "  "); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

// follow returns what a value refers to, or the value itself.
func (d document) follow(v any) object {
	node, _ := v.(object)
	for range 8 { // a reference to a reference, but no circle
		ref, ok := node["$ref"].(string)
		if !ok {
			return node
		}
		var at any = d.root
		for _, key := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			in, _ := at.(object)
			at = in[key]
		}
		node, _ = at.(object)
	}
	return node
}

// sorted yields the members of an object that are objects, by name.
func sorted(v any) func(func(string, object) bool) {
	members, _ := v.(object)
	return func(yield func(string, object) bool) {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if member, ok := members[name].(object); ok && !yield(name, member) {
				return
			}
		}
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
