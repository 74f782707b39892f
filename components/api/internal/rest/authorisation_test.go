package rest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// call is how an operation of the contract is asked for in the matrix. In
// query and body, {id} and the like stand for what the cell made, {new} for a
// name that nothing has.
type call struct {
	query     string
	body      string
	elsewhere int  // status about another tenant's, where expect does not say it
	allAdmin  bool // an admin that is bound to tenants is not enough
}

const (
	published = `{"tokens":["{token}"],"backoffNotReady":"10s","backoffReady":"30m"}`
	report    = `{"adapter_name":"own","phase":"Running","message":"{new}"}`
)

// matrix has a row per operation of the contract.
var matrix = map[string]call{
	"getContract": {}, "getManual": {}, "getSchema": {}, "listAudit": {},

	"listClusters": {}, "createCluster": {body: `{"name":"{new}"}`}, "publishedClusters": {body: published},
	"getCluster": {}, "patchCluster": {body: `{"labels":{"a":"b"}}`}, "deleteCluster": {}, "reconcileCluster": {},
	"listStatuses": {}, "createStatus": {body: report},
	"getStatus": {}, "patchStatus": {body: `{"message":"corrected"}`}, "deleteStatus": {},

	"listNodePools": {}, "createNodePool": {body: `{"name":"{new}","owner":{"id":"{cluster}"}}`, elsewhere: 422}, "publishedNodePools": {body: published},
	"listNodePoolsOfCluster": {}, "createNodePoolOfCluster": {body: `{"name":"{new}"}`},
	"getNodePool": {}, "patchNodePool": {body: `{"labels":{"a":"b"}}`}, "deleteNodePool": {}, "reconcileNodePool": {},
	"listNodePoolStatuses": {}, "createNodePoolStatus": {body: report},
	"getNodePoolStatus": {}, "patchNodePoolStatus": {body: `{"message":"corrected"}`}, "deleteNodePoolStatus": {},

	"listAdapters": {}, "getAdapter": {}, "registerAdapter": {body: `{"instance":"r/n/i","resourceTypes":["clusters"]}`, allAdmin: true}, "unregisterAdapter": {},

	"listShards": {}, "getCoverage": {query: "resourceType=clusters"}, "getShard": {}, "releaseShard": {query: "holder=h"},
	"holdShard": {body: `{"holder":"h","resourceType":"clusters","selector":"","backoffNotReady":"10s","backoffReady":"30m","pollInterval":"5s"}`},
}

// Names of what is whose: tenants, and adapters and shards alike.
const (
	own     = "own"
	foreign = "foreign"
	none    = "none"
)

// identity is somebody who asks. All but fleet are bound to the tenant of a claim.
type identity struct {
	role  string
	fleet bool // bound to all tenants
}

func (i identity) String() string {
	if i.fleet {
		return i.role + " of all tenants"
	}
	return i.role
}

var identities = []identity{
	{"viewer", false}, {"editor", false}, {"admin", false}, {"sentinel", true}, {"adapter", false}, {"job", false},
	{"viewer", true}, {"editor", true}, {"admin", true},
}

// authorisation is the bed of the matrix.
type authorisation struct {
	*bed
	*issuer
	made int
}

func newAuthorisation(t *testing.T) *authorisation {
	a := &authorisation{issuer: newIssuer(t)}
	a.config.Limits = auth.Limits{PeoplePerMinute: 1_000_000, WorkloadsPerMinute: 1_000_000}
	for _, who := range identities {
		b := auth.Binding{Role: who.role, Claims: map[string]string{"role": who.String()}, TenantClaim: "tenant"}
		if who.fleet {
			b.TenantClaim, b.Tenants = "", []string{"*"}
		}
		switch who.role {
		case "adapter":
			b.AdapterName = own
		case "sentinel":
			b.Shards = []string{own}
		}
		a.bind(b)
	}
	a.bed = newBedFor(t, a.config)
	return a
}

func (a *authorisation) as(who identity, tenant string) http.Header {
	c := claims{"role": who.String(), "tenant": tenant}
	if tenant == none {
		delete(c, "tenant")
	}
	return a.header(c)
}

// ask sends a request as the admin of all tenants, for what a cell needs.
func (a *authorisation) ask(method, path, body string) map[string]any {
	a.bed.Helper()
	got := a.send(request{method: method, path: path, header: a.as(identity{"admin", true}, none), body: body})
	var out map[string]any
	if got.status > 299 || json.Unmarshal(got.body, &out) != nil {
		a.bed.Fatalf("%s %s: %d %s\n%s", method, path, got.status, got.body, a.log)
	}
	return out
}

// fresh makes what a cell is about, as far as the text has it: a resource of a
// tenant, its report, its due token, and the name of a shard and an adapter. The
// text begins with the operation's path.
func (a *authorisation) fresh(tenant, text string) *strings.Replacer {
	a.bed.Helper()
	has := func(what string) bool { return strings.Contains(text, what) }
	a.made++
	name := fmt.Sprintf("made-%d", a.made)
	pairs := []string{"{new}", "new-" + name, "{name}", tenant, "{type}", "clusters"}
	if has("{id}") || has("{token}") || has("{cluster}") {
		all, body := "/v1/clusters", `{"name":"`+name+`","labels":{"made":"`+name+`"}}`
		id := a.ask("POST", all+"?tenant="+tenant, body)["id"].(string)
		pairs = append(pairs, "{cluster}", id)
		if strings.HasPrefix(text, "/nodepools") {
			id, all = a.ask("POST", all+"/"+id+"/nodepools", body)["id"].(string), "/v1/nodepools"
		}
		pairs = append(pairs, "{id}", id)
		if has("{status_id}") {
			pairs = append(pairs, "{status_id}", a.ask("POST", all+"/"+id+"/statuses", `{"adapter_name":"own","phase":"Pending"}`)["id"].(string))
		}
		if has("{token}") {
			due := a.ask("GET", all+"?due=true&view=brief&backoffNotReady=10s&backoffReady=30m&labelSelector=made="+name, "")
			pairs = append(pairs, "{token}", due["items"].([]any)[0].(map[string]any)["token"].(string))
		}
	}
	if has("/shards/{name}") {
		a.ask("PUT", "/v1/shards/"+tenant, matrix["holdShard"].body)
	}
	if has("/adapters/{name}") {
		a.ask("PUT", "/v1/adapters/"+tenant, matrix["registerAdapter"].body)
	}
	return strings.NewReplacer(pairs...)
}

func TestTheAuthorisationMatrix(t *testing.T) {
	a := newAuthorisation(t)
	a.fresh(own, "/clusters {id}") // so that lists have something to show
	a.fresh(own, "/nodepools {id}")
	a.fresh(foreign, "/clusters {id}")
	a.fresh(foreign, "/nodepools {id}")
	c := readContract(t)
	seen, cells := []string{}, 0
	for path, item := range c.at("paths").(object) {
		for method, op := range item.(object) {
			if method == "parameters" {
				continue
			}
			op := op.(object)
			id, _ := op["operationId"].(string)
			how, ok := matrix[id]
			if !ok {
				t.Errorf("%s %s (%s) has no row in the authorisation matrix: say there how it is called", strings.ToUpper(method), path, id)
				continue
			}
			seen = append(seen, id)
			o := asked{a, strings.ToUpper(method), path, op, how, c.narrows(path, op)}
			o.anonymous()
			o.narrowed()
			cells += 2
			for _, who := range identities {
				for _, about := range []string{own, foreign, none} {
					o.cell(who, about)
					cells++
				}
			}
		}
	}
	for id := range maps.Keys(matrix) {
		if !slices.Contains(seen, id) {
			t.Errorf("the matrix has a row for %s, which the contract does not have", id)
		}
	}
	t.Logf("%d cells", cells)
}

// asked is one operation of the contract.
type asked struct {
	*authorisation
	method, path string
	op           object
	how          call
	narrows      bool // tenant is a parameter
}

func (o asked) public() bool { _, own := o.op["security"]; return own }

// anonymous asks without a token, below both prefixes.
func (o asked) anonymous() {
	at := o.fresh(own, o.path+o.how.query+o.how.body)
	for _, prefix := range []string{"", "/v1"} {
		got := o.send(request{method: o.method, path: prefix + at.Replace(o.path), body: at.Replace(o.how.body)})
		want := http.StatusUnauthorized
		if o.public() {
			want = http.StatusOK
		}
		if got.status != want {
			o.bed.Errorf("%s %s without a token: answered %d, want %d", o.method, prefix+o.path, got.status, want)
		}
	}
}

// narrowed asks for one tenant where the contract does not have that.
func (o asked) narrowed() {
	if o.narrows {
		return
	}
	at := o.fresh(own, o.path+o.how.query+o.how.body)
	path := "/v1" + at.Replace(o.path) + "?tenant=own&" + at.Replace(o.how.query)
	who := o.as(identity{"admin", true}, own)
	if got := o.send(request{method: o.method, path: path, header: who, body: at.Replace(o.how.body)}); got.status != http.StatusBadRequest {
		o.bed.Errorf("%s %s for one tenant: answered %d, want %d", o.method, o.path, got.status, http.StatusBadRequest)
	}
}

// cell asks as somebody, about what is the somebody's own, about what is
// another tenant's (or adapter's, or sentinel's), or with a token that names
// no tenant.
func (o asked) cell(who identity, about string) {
	tenant, query := about, url.Values{}
	if about == none {
		tenant = own
	}
	at := o.fresh(tenant, o.path+o.how.query+o.how.body)
	header := o.as(who, own)
	if about == none {
		header = o.as(who, none)
	}
	if about == foreign && o.narrows && (who.fleet || !strings.Contains(o.path, "{id}")) {
		query.Set("tenant", map[bool]string{true: own, false: foreign}[strings.Contains(o.path, "{id}")])
	}
	path := "/v1" + at.Replace(o.path) + "?" + at.Replace(o.how.query)
	if len(query) > 0 {
		path += "&" + query.Encode()
	}
	got := o.send(request{method: o.method, path: strings.TrimRight(path, "?&"), header: header, body: at.Replace(o.how.body)})
	if want := o.expect(who, about); !want(got) {
		o.bed.Errorf("%s %s as %s about %s: answered %d %s", o.method, o.path, who, about, got.status, got.body)
	}
}

// expect is what the contract makes of a cell.
func (o asked) expect(who identity, about string) func(response) bool {
	status := func(want int) func(response) bool { return func(r response) bool { return r.status == want } }
	ok := func(r response) bool { return r.status >= 200 && r.status <= 299 }
	reads := o.method == http.MethodGet
	switch {
	case o.public():
		return ok
	case about == none && !who.fleet: // no tenant, no role
		return status(http.StatusForbidden)
	case !slices.Contains(asList(o.op["x-roles"]), any(who.role)), o.op["x-tenants"] == "all" && !who.fleet, o.how.allAdmin && who.role == "admin" && !who.fleet:
		return status(http.StatusForbidden)
	case about != foreign:
		return ok
	case strings.Contains(o.path, "{id}"): // another tenant's does not exist
		return status(http.StatusNotFound)
	case strings.Contains(o.path, "{name}") && !reads && !(who.role == "admin" && who.fleet): // another's name
		return status(http.StatusForbidden)
	case !o.narrows:
		return ok
	case o.how.elsewhere != 0 && !who.fleet:
		return status(o.how.elsewhere)
	case reads && !who.fleet: // a list of another tenant's is empty
		return func(r response) bool {
			var list struct{ Items []fleet.Resource }
			return ok(r) && json.Unmarshal(r.body, &list) == nil && !slices.ContainsFunc(list.Items, func(i fleet.Resource) bool { return i.Tenant != "" })
		}
	case who.fleet: // narrowed to one tenant, which is nobody's foreign one
		return func(r response) bool { return ok(r) && (!reads || !strings.Contains(string(r.body), `"tenant":"own"`)) }
	}
	return status(http.StatusForbidden)
}

func TestNobodySpeaksForAnother(t *testing.T) {
	a := newAuthorisation(t)
	at := a.fresh(own, "/clusters {id} {token}")
	adapter := a.as(identity{"adapter", false}, own)
	for what, tt := range map[string]struct {
		who          http.Header
		method, path string
		body         string
		want         int
	}{
		"an adapter reports as itself":             {adapter, "POST", "/v1/clusters/{id}/statuses", `{"adapter_name":"own","phase":"Running"}`, 201},
		"and as no other":                          {adapter, "POST", "/v1/clusters/{id}/statuses", `{"adapter_name":"foreign","phase":"Running"}`, 403},
		"an admin reports as any":                  {a.as(identity{"admin", false}, own), "POST", "/v1/clusters/{id}/statuses", `{"adapter_name":"foreign","phase":"Running"}`, 201},
		"an editor as none":                        {a.as(identity{"editor", false}, own), "POST", "/v1/clusters/{id}/statuses", `{"adapter_name":"own","phase":"Running"}`, 403},
		"an adapter leaves specs alone":            {adapter, "PATCH", "/v1/clusters/{id}", `{"spec":{}}`, 403},
		"an adapter registers as itself":           {adapter, "PUT", "/v1/adapters/own", matrix["registerAdapter"].body, 200},
		"and under no other name":                  {adapter, "PUT", "/v1/adapters/foreign", matrix["registerAdapter"].body, 403},
		"a tenant's admin registers none":          {a.as(identity{"admin", false}, own), "PUT", "/v1/adapters/own", matrix["registerAdapter"].body, 403},
		"a sentinel holds its shard":               {a.as(identity{"sentinel", true}, none), "PUT", "/v1/shards/own", matrix["holdShard"].body, 200},
		"and no other":                             {a.as(identity{"sentinel", true}, none), "PUT", "/v1/shards/foreign", matrix["holdShard"].body, 403},
		"a sentinel changes nothing of a resource": {a.as(identity{"sentinel", true}, none), "DELETE", "/v1/clusters/{id}", "", 403},
		"what is due is for all tenants":           {a.as(identity{"admin", false}, own), "GET", "/v1/clusters?due=true&view=brief&backoffNotReady=1s&backoffReady=1s", "", 403},
		"and not for one of them":                  {a.as(identity{"sentinel", true}, none), "GET", "/v1/clusters?due=true&view=brief&backoffNotReady=1s&backoffReady=1s&tenant=own", "", 403},
		"published is for all tenants":             {a.as(identity{"sentinel", true}, none), "POST", "/v1/clusters/published?tenant=own", matrix["publishedClusters"].body, 400},
		"a tenant's name is a name":                {adapter, "GET", "/v1/clusters?tenant=A'--", "", 400},
		"there is one tenant":                      {adapter, "GET", "/v1/clusters?tenant=a&tenant=b", "", 400},
		"a public document has no tenant":          {nil, "GET", "/openapi.yaml?tenant=own", "", 400},
	} {
		got := a.send(request{method: tt.method, path: at.Replace(tt.path), header: tt.who, body: at.Replace(tt.body)})
		if got.status != tt.want {
			t.Errorf("%s: answered %d, want %d: %s", what, got.status, tt.want, got.body)
		}
	}
}

func TestAReportIsCorrectedByItsAdapterAlone(t *testing.T) {
	a := newAuthorisation(t)
	at := a.fresh(own, "/clusters {id} {token}")
	other := a.ask("POST", at.Replace("/v1/clusters/{id}/statuses"), `{"adapter_name":"foreign","phase":"Running"}`)["id"].(string)
	for _, method := range []string{"PATCH", "DELETE"} {
		body := map[string]string{"PATCH": `{"message":"x"}`}[method]
		for id, want := range map[string]int{other: 403, "00000000-0000-0000-0000-000000000000": 404} {
			got := a.send(request{method: method, path: at.Replace("/v1/clusters/{id}/statuses/") + id, header: a.as(identity{"adapter", false}, own), body: body})
			if got.status != want {
				t.Errorf("%s %s: answered %d, want %d", method, id, got.status, want)
			}
		}
	}
}

func TestWhereAResourceIsMade(t *testing.T) {
	i := newIssuer(t)
	i.bind(auth.Binding{Role: "editor", Claims: map[string]string{"sub": "all"}, Tenants: []string{"*"}})
	i.bind(auth.Binding{Role: "editor", Claims: map[string]string{"sub": "two"}, Tenants: []string{"a", "b"}})
	i.bind(auth.Binding{Role: "editor", Claims: map[string]string{"sub": "one"}, TenantClaim: "tenant"})
	b := newBedFor(t, i.config)
	for n, tt := range []struct {
		sub, query string
		status     int
		tenant     string
	}{
		{"all", "", 201, "default"}, {"all", "?tenant=acme", 201, "acme"}, {"two", "", 400, ""}, {"two", "?tenant=b", 201, "b"}, {"two", "?tenant=c", 403, ""},
		{"one", "", 201, "a"}, {"one", "?tenant=a", 201, "a"}, {"one", "?tenant=default", 403, ""},
	} {
		got := b.send(request{method: "POST", path: "/v1/clusters" + tt.query, header: i.header(claims{"sub": tt.sub, "tenant": "a"}), body: fmt.Sprintf(`{"name":"n%d"}`, n)})
		var made fleet.Resource
		_ = json.Unmarshal(got.body, &made)
		if got.status != tt.status || made.Tenant != tt.tenant {
			t.Errorf("%s%s: answered %d in %q, want %d in %q: %s", tt.sub, tt.query, got.status, made.Tenant, tt.status, tt.tenant, got.body)
		}
	}
	names := func(sub, query string) (names []string) {
		got := b.send(request{method: "GET", path: "/v1/clusters" + query, header: i.header(claims{"sub": sub, "tenant": "a"})})
		var list fleet.List
		if err := json.Unmarshal(got.body, &list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Items {
			names = append(names, r.Name)
		}
		return names
	}
	for _, tt := range []struct {
		sub, query string
		want       []string
	}{
		{"all", "", []string{"n0", "n1", "n3", "n5", "n6"}}, {"all", "?tenant=a", []string{"n5", "n6"}}, {"two", "", []string{"n3", "n5", "n6"}},
		{"two", "?tenant=acme", nil}, {"one", "", []string{"n5", "n6"}}, {"one", "?tenant=b", nil},
	} {
		if got := names(tt.sub, tt.query); !slices.Equal(got, tt.want) {
			t.Errorf("%s%s sees %v, want %v", tt.sub, tt.query, got, tt.want)
		}
	}
}
