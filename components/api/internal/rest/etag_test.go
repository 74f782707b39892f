package rest_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// with is a request's one header.
func with(name string, values ...string) http.Header { return http.Header{name: values} }

func TestConditions(t *testing.T) {
	b := newBed(t)
	c := b.create("prod-1", "")
	it := "/v1/clusters/" + c.ID
	want[fleet.Report](b, 201, "POST", it+"/statuses", `{"adapter_name":"dns","phase":"Running"}`) // now m1.s1
	const same = `{"labels":{}}`
	tests := map[string]struct {
		method, field string
		values        []string
		status        int
	}{
		"the version itself is not sent again":          {"GET", "If-None-Match", []string{`"m1.s1"`}, 304},
		"nor is it where a weak tag names it":           {"GET", "If-None-Match", []string{`W/"m1.s1"`}, 304},
		"nor where one of a list does":                  {"GET", "If-None-Match", []string{`"x", ,"m1.s1"`}, 304},
		"nor where one of several fields does":          {"GET", "If-None-Match", []string{`"x"`, `"m1.s1"`}, 304},
		"anything is any version":                       {"GET", "If-None-Match", []string{`*`}, 304},
		"without its body it is not sent either":        {"HEAD", "If-None-Match", []string{`"m1.s1"`}, 304},
		"a report makes another version":                {"GET", "If-None-Match", []string{`"m1.s0"`}, 200},
		"an empty field is none":                        {"GET", "If-None-Match", []string{``}, 200},
		"a tag without quotes is no tag":                {"GET", "If-None-Match", []string{`m1.s1`}, 400},
		"tags are separated by commas":                  {"GET", "If-None-Match", []string{`"a" "b"`}, 400},
		"anything stands alone":                         {"GET", "If-None-Match", []string{`*, "a"`}, 400},
		"the desired state matches whatever reports":    {"PATCH", "If-Match", []string{`"m1.s0"`}, 200},
		"the exact version matches":                     {"PATCH", "If-Match", []string{`"m1.s1"`}, 200},
		"one of a list matches":                         {"PATCH", "If-Match", []string{`"m9.s1","m1.s9"`}, 200},
		"anything matches what exists":                  {"PATCH", "If-Match", []string{`*`}, 200},
		"another desired state does not":                {"PATCH", "If-Match", []string{`"m2.s1"`}, 412},
		"a longer number is another one":                {"PATCH", "If-Match", []string{`"m11.s1"`}, 412},
		"a weak tag never matches":                      {"PATCH", "If-Match", []string{`W/"m1.s1"`}, 412},
		"a tag of something else does not match":        {"PATCH", "If-Match", []string{`"m1"`}, 412},
		"what is not a tag is refused":                  {"PATCH", "If-Match", []string{`'m1.s1'`}, 400},
		"nothing is deleted that has changed meanwhile": {"DELETE", "If-Match", []string{`"m2.s1"`}, 412},
		"nor on an unreadable condition":                {"DELETE", "If-Match", []string{`"`}, 400},
	}
	for name, tt := range tests {
		r := request{method: tt.method, path: it, header: with(tt.field, tt.values...)}
		if tt.method == "PATCH" {
			r.body = same
		}
		got := b.send(r)
		if got.status != tt.status {
			t.Errorf("%s: answered %d, want %d: %s", name, got.status, tt.status, got.body)
		}
		if got.status < 400 && got.header.Get("ETag") != `"m1.s1"` {
			t.Errorf("%s: ETag %s", name, got.header.Get("ETag"))
		}
	}
	gone := request{method: "GET", path: "/v1/clusters/0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10", header: with("If-None-Match", "*")}
	if got := b.send(gone); got.status != 404 {
		t.Errorf("a condition on nothing answered %d", got.status)
	}
	if got := b.send(request{method: "DELETE", path: it, header: with("If-Match", `"m1.s0"`)}); got.status != 202 {
		t.Errorf("delete of the known state answered %d: %s", got.status, got.body)
	}
}

// TestOneOfConcurrentPatchesWins: of many that know the same version exactly
// one changes it, again and again.
func TestOneOfConcurrentPatchesWins(t *testing.T) {
	b := newBed(t)
	c := b.create("prod-1", "")
	const writers = 8
	for range 10 * rounds(t) {
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				got := b.send(request{method: "PATCH", path: "/v1/clusters/" + c.ID, header: with("If-Match", `"`+c.ResourceVersion+`"`),
					body: `{"spec":{"writer":"` + string(rune('a'+i)) + c.ResourceVersion + `"}}`})
				switch got.status {
				case 200:
					won.Add(1)
				case 412:
				default:
					t.Errorf("answered %d: %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		before := c.Generation
		c = want[fleet.Resource](b, 200, "GET", "/v1/clusters/"+c.ID, "")
		if won.Load() != 1 || c.Generation != before+1 {
			t.Fatalf("%d of %d writers won, generation %d after %d", won.Load(), writers, c.Generation, before)
		}
	}
}
