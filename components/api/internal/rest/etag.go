package rest

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxTags bounds how many entity tags a request may list.
const maxTags = 64

// setETag writes the entity tag of a resource: its whole version, strong,
// because equal versions are equal answers.
func setETag(w http.ResponseWriter, version string) { w.Header().Set("ETag", `"`+version+`"`) }

// entityTag is one entity tag as RFC 9110 writes it.
type entityTag struct {
	opaque string
	weak   bool
}

// tags is what If-Match or If-None-Match says. The zero value says nothing.
type tags struct {
	any  bool // *
	list []entityTag
}

var oneTag = regexp.MustCompile(`^(W/)?"([!#-~\x80-\xff]*)"`)

// readTags reads a field of entity tags.
func readTags(h http.Header, field string) (tags, error) {
	text := strings.Trim(strings.Join(h.Values(field), ","), " \t")
	if text == "*" {
		return tags{any: true}, nil
	}
	var out tags
	for expectTag := true; text != ""; text = strings.TrimLeft(text, " \t") {
		if rest, ok := strings.CutPrefix(text, ","); ok { // empty elements are allowed
			text, expectTag = rest, true
			continue
		}
		found := oneTag.FindStringSubmatch(text)
		if found == nil || !expectTag || len(out.list) == maxTags {
			return tags{}, badHeader(field, `must be * or at most 64 entity tags such as "m3.s7", separated by commas`)
		}
		out.list = append(out.list, entityTag{opaque: found[2], weak: found[1] != ""})
		text, expectTag = text[len(found[0]):], false
	}
	return out, nil
}

func badHeader(field, message string) error {
	return &fleet.Error{Code: fleet.BadRequest, Detail: "a header of the request cannot be used",
		Problems: []fleet.Problem{{Pointer: field, Message: message}}}
}

// given says whether the request makes a condition at all.
func (t tags) given() bool { return t.any || len(t.list) > 0 }

// has says whether the version is among the tags, weak or not: what
// If-None-Match asks.
func (t tags) has(version string) bool {
	for _, tag := range t.list {
		if tag.opaque == version {
			return true
		}
	}
	return t.any
}

// hasDesired says whether a strong tag names the same desired state: what
// If-Match asks. Reports do not make a writer's knowledge stale.
func (t tags) hasDesired(version string) bool {
	desired, _, _ := strings.Cut(version, ".")
	for _, tag := range t.list {
		m, _, ok := strings.Cut(tag.opaque, ".")
		if ok && m == desired && !tag.weak {
			return true
		}
	}
	return t.any
}

// precondition is what If-Match demands of the resource that a write is about.
func precondition(req *http.Request) (func(fleet.Resource) error, error) {
	expected, err := readTags(req.Header, "If-Match")
	if err != nil {
		return nil, err
	}
	return func(r fleet.Resource) error {
		if expected.given() && !expected.hasDesired(r.ResourceVersion) {
			return fleet.Errorf(fleet.StaleVersion,
				"the resource was changed since it was read: its version is %s; read it again and repeat the change", r.ResourceVersion)
		}
		return nil
	}, nil
}
