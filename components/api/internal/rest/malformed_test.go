package rest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// hostile are texts that no parameter asks for.
var hostile = []string{
	"'", "' OR '1'='1", "'; DROP TABLE clusters; --", `"; SELECT pg_sleep(10); --`, "1 UNION SELECT NULL,NULL", "$1", "%s%n", `\`, "{{7*7}}", "${jndi:ldap://x}",
	"../../etc/passwd", "a\x00b", "\xff\xfe", "\xc0\xaf", "\u202e", "é", " ", "-1", "NaN", "1e309", "0x10", "null", "[]", "{}", "true false", strings.Repeat("A", 5000),
}

// broken are bodies that are not one readable JSON document.
func broken() map[string]string {
	out := map[string]string{
		"nothing": " ", "half an object": `{"name":`, "a bare word": `name`, "two documents": `{}{}`, "a trailing comma": `{"a":1,}`, "a comment": `{/*x*/}`,
		"single quotes": `{'a':1}`, "a NUL": "{\"a\":\"\x00\"}", "an escaped NUL": `{"a":"\u0000"}`, "a NUL in a name": `{"a\u0000":1}`, "bad UTF-8": "{\"a\":\"\xff\"}",
		"half a surrogate": `{"a":"\ud800"}`, "overlong UTF-8": "{\"a\":\"\xc0\xaf\"}", "UTF-16": "{\x00\"\x00}\x00", "a byte order mark": "\xef\xbb\xbf{}",
		"a double name": `{"a":1,"a":2}`, "a double name, deep": `{"x":[{"y":{"a":1,"a":2}}]}`, "a double name, escaped": `{"a":1,"\u0061":2}`,
		"a number too large": `{"a":1e999}`, "a number too small": `{"a":-1e-999}`, "NaN": `{"a":NaN}`, "infinity": `{"a":Infinity}`, "hex": `{"a":0x1}`,
		"a leading zero": `{"a":01}`, "many digits": `{"a":0.` + strings.Repeat("1", 5000) + `}`, "an endless exponent": `{"a":1e` + strings.Repeat("9", 5000) + `}`,
		"a bomb of arrays": strings.Repeat("[", 100_000), "a bomb of objects": strings.Repeat(`{"a":`, 50_000), "a closed bomb": `{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`,
		"many problems": `["\u0000"` + strings.Repeat(`,"\u0000"`, 50_000) + `]`, "a tab in a string": "{\"a\":\"\t\"}", "XML": `<a/>`, "a form": `a=1&b=2`,
	}
	return out
}

var wrongMedia = []string{"", "text/plain", "application/xml", "application/json; charset=latin1", "application/json, text/plain", "json", "*/*",
	"multipart/form-data; boundary=x", "application/json-patch+json", strings.Repeat("a", 3000) + "/json", "application/json; q=\x7f"}

// odd are values of every type, for a member that wants one of them.
var odd = []string{`null`, `true`, `-1`, `1.5`, `9007199254740993`, `1e308`, `""`, `"x y"`, `"'; DROP TABLE clusters; --"`, `"\u202e"`, `[]`, `["a",1]`, `{}`, `{"a":{"b":[]}}`}

// sent is a malformed request with the statuses that are right for it.
type sent struct {
	what string
	request
	right []int
}

// malformed generates requests from the contract: every operation, every
// parameter, every header and every member of every body, broken in each way.
type malformed struct {
	*bed
	contract *contract
	places   map[string]string // by path parameter and the first element of the path
	requests []sent
}

func (m *malformed) add(what string, r request, right ...int) {
	m.requests = append(m.requests, sent{what, r, right})
}

func (m *malformed) place(path, name string) string {
	return m.places[strings.Split(path, "/")[1]+" "+name]
}

// at is the path with its parameters filled in, one of them by other text.
func (m *malformed) at(path, other, text string) string {
	for _, part := range strings.Split(path, "/") {
		if name := strings.Trim(part, "{}"); name != part {
			value := m.place(path, name)
			if name == other {
				value = text
			}
			path = strings.Replace(path, part, url.PathEscape(value), 1)
		}
	}
	return "/v1" + path
}

func (m *malformed) operation(path, method string, op object, shared []any) {
	base := request{method: strings.ToUpper(method), path: m.at(path, "", "")}
	schema, body := m.body(op)
	base.body = body
	what := base.method + " " + path + ": "
	with := func(query string) request { r := base; r.path += "?" + query; return r }
	m.add(what+"an unknown parameter", with("nobody=1"), 400)
	m.add(what+"an unreadable query", with("a=%zz"), 400)
	m.add(what+"a semicolon", with("a;b"), 400)
	for _, p := range append(slices.Clone(shared), asList(op["parameters"])...) {
		m.parameter(what, path, base, m.contract.follow(p).(object))
	}
	if schema != nil {
		m.bodies(what, base, schema)
	}
}

// accepted are the answers to what the contract's schema allows: whether it
// means anything is for the store to say.
var accepted = []int{200, 201, 202, 204, 400, 404, 409, 422}

func (m *malformed) parameter(what, path string, base request, p object) {
	name := p["name"].(string)
	for i, text := range hostile {
		r, right := base, []int{400}
		switch p["in"] {
		case "path":
			r.path, right = m.at(path, name, text), []int{404}
			if name == "name" { // not an id: the caller chooses it
				right = []int{404, 400}
			}
		case "header":
			if strings.ContainsAny(text, "\x00\n") {
				continue // the client itself refuses
			}
			r.header = http.Header{name: {"x " + text + " ;"}}
		default:
			r.path += "?" + name + "=" + url.QueryEscape(text)
		}
		if p["in"] != "header" && m.contract.check(p["schema"], text) == nil {
			right = accepted
		}
		m.add(fmt.Sprintf("%s%s is hostile text %d", what, name, i), r, right...)
	}
	if p["in"] == "query" {
		r := base
		r.path += "?" + name + "=a&" + name + "=b"
		m.add(what+name+" twice", r, 400)
	}
}

// body is an example of what the operation takes, and its schema.
func (m *malformed) body(op object) (any, string) {
	content, _ := m.contract.follow(op["requestBody"]).(object)
	for _, media := range asObject(content["content"]) {
		for _, e := range asObject(media.(object)["examples"]) {
			text, err := json.Marshal(e.(object)["value"])
			if err != nil {
				m.Fatal(err)
			}
			return media.(object)["schema"], string(text)
		}
	}
	return nil, ""
}

func asObject(v any) object { o, _ := v.(object); return o }

func (m *malformed) bodies(what string, base request, schema any) {
	for name, text := range broken() {
		r := base
		r.body = text
		m.add(what+name, r, 400)
	}
	for _, media := range wrongMedia {
		r := base
		r.header = http.Header{"Content-Type": {media}}
		if base.method == "PATCH" && strings.HasPrefix(media, "application/merge") || strings.Contains(media, "\x7f") {
			continue
		}
		m.add(what+"content type "+media, r, 415)
	}
	for name, header := range map[string]http.Header{
		"two content types": {"Content-Type": {"application/json", "text/plain"}}, "gzip": {"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
	} {
		r := base
		r.header = header
		m.add(what+name, r, 415)
	}
	large := base
	large.body = `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	m.add(what+"a large body", large, 413)
	var example object
	if json.Unmarshal([]byte(base.body), &example) != nil {
		m.Fatalf("%s: the example is no object: %s", what, base.body)
	}
	members := maps.Clone(asObject(asObject(m.contract.follow(schema))["properties"]))
	members["nobody"] = nil
	for member := range members {
		for i, text := range odd {
			value := maps.Clone(example)
			value[member] = json.RawMessage(text)
			body, err := json.Marshal(value)
			if err != nil {
				m.Fatal(err)
			}
			r := base
			r.body = string(body)
			right := []int{422}
			if decoded := decodedJSON(m.TB, body); m.contract.check(schema, decoded) == nil {
				right = accepted
			}
			m.add(fmt.Sprintf("%s%s is odd value %d", what, member, i), r, right...)
		}
	}
}

func decodedJSON(t testing.TB, text []byte) any {
	t.Helper()
	var v any
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMalformedRequestsGetTheRightAnswer sends some thousands of them: never a
// 5xx, and memory stays what it is.
func TestMalformedRequestsGetTheRightAnswer(t *testing.T) {
	b := newBed(t)
	c := b.create("prod-1", "")
	pool := want[fleet.Resource](b, 201, "POST", "/v1/clusters/"+c.ID+"/nodepools", `{"name":"workers"}`)
	places := map[string]string{
		"clusters id": c.ID, "nodepools id": pool.ID, "shards name": "one", "adapters name": "dns", "schemas type": "clusters",
		"clusters status_id":  want[fleet.Report](b, 201, "POST", "/v1/clusters/"+c.ID+"/statuses", `{"adapter_name":"dns","phase":"Running"}`).ID,
		"nodepools status_id": want[fleet.Report](b, 201, "POST", "/v1/nodepools/"+pool.ID+"/statuses", `{"adapter_name":"dns","phase":"Running"}`).ID,
	}
	m := &malformed{bed: b, contract: readContract(t), places: places}
	for path, item := range m.contract.at("paths").(object) {
		shared := asList(item.(object)["parameters"])
		for method, op := range item.(object) {
			if method != "parameters" {
				m.operation(path, method, op.(object), shared)
			}
		}
		for _, method := range []string{"PUT", "PATCH", "DELETE", "POST", "TRACE", "BREW"} {
			if item.(object)[strings.ToLower(method)] == nil {
				m.add(method+" "+path, request{method: method, path: m.at(path, "", "")}, 405)
			}
		}
	}
	if len(m.requests) < 2000 {
		t.Fatalf("only %d requests", len(m.requests))
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most, at atomic.Int64
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for i := at.Add(1) - 1; i < int64(len(m.requests)); i = at.Add(1) - 1 {
				r := m.requests[i]
				got := b.send(r.request)
				if !slices.Contains(r.right, got.status) {
					t.Errorf("%s: answered %d, right is %v: %.300s", r.what, got.status, r.right, got.body)
				}
			}
		})
	}
	for int(at.Load()) < len(m.requests) {
		runtime.ReadMemStats(&now)
		most.Store(max(most.Load(), int64(now.HeapInuse)))
		runtime.Gosched()
	}
	senders.Wait()
	if grown := most.Load() - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("the heap of server and senders grew by %d MiB", grown>>20)
	}
	t.Logf("%d requests; the heap grew by %d MiB at most", len(m.requests), (most.Load()-int64(before.HeapInuse))>>20)
}

// TestABodyThatDoesNotArriveIsRefused by every operation that may change
// something: its sender keeps nothing waiting.
func TestABodyThatDoesNotArriveIsRefused(t *testing.T) {
	const id = "0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10"
	b := serve(t, nil, 300*time.Millisecond)
	fill := strings.NewReplacer("{name}", "a", "{id}", id, "{status_id}", id, "{type}", "clusters")
	for path, rules := range rest.Rules() {
		for method := range rules {
			if method != http.MethodPost && method != http.MethodPut && method != http.MethodPatch {
				continue
			}
			for name, sent := range map[string]string{
				"nothing of it": "Content-Length: 100\r\n\r\n",
				"its beginning": "Content-Length: 100\r\n\r\n{\"name\":",
				"a chunk of it": "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"nam\r\n",
			} {
				t.Run(method+" "+path+" "+name, func(t *testing.T) {
					t.Parallel()
					conn := dial(t, b)
					if _, err := fmt.Fprintf(conn, "%s /v1%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s", method, fill.Replace(path), sent); err != nil {
						t.Fatal(err)
					}
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if resp.StatusCode != http.StatusBadRequest {
						t.Errorf("answered %d", resp.StatusCode)
					}
				})
			}
		}
	}
}

// dial connects to the API below HTTP.
func dial(t *testing.T, b *bed) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}
