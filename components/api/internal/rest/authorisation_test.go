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
	query string
	body  string
	media string // "" = application/json
}

// matrix has a row per operation of the contract.
var matrix = map[string]call{
	"listClusters":      {},
	"createCluster":     {body: `{"name":"{new}"}`},
	"publishedClusters": {body: `{"tokens":["{token}"],"backoffNotReady":"10s","backoffReady":"30m"}`},
	"getCluster":        {},
	"patchCluster":      {body: `{"labels":{"a":"b"}}`},
	"deleteCluster":     {},
	"listStatuses":      {},
	"createStatus":      {body: `{"adapter_name":"own","phase":"Running","message":"{new}"}`},
	"getStatus":         {},
	"patchStatus":       {body: `{"message":"corrected"}`},
	"deleteStatus":      {},
	"listShards":        {},
	"getCoverage":       {query: "resourceType=clusters"},
	"getShard":          {},
	"holdShard":         {body: `{"holder":"h","resourceType":"clusters","selector":"","backoffNotReady":"10s","backoffReady":"30m","pollInterval":"5s"}`},
	"releaseShard":      {query: "holder=h"},
	"listAudit":         {},
	"getSchema":         {},
	"getContract":       {},
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
	{"viewer", true}, {"admin", true},
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
		a.bed.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
	return out
}

// fresh makes what a cell is about, as far as the text has it: a resource of a
// tenant, its report, its due token, and the name of a shard or adapter.
func (a *authorisation) fresh(tenant, text string) *strings.Replacer {
	a.bed.Helper()
	a.made++
	name := fmt.Sprintf("made-%d", a.made)
	pairs := []string{"{new}", "new-" + name, "{name}", tenant, "{type}", "clusters"}
	if strings.Contains(text, "{id}") || strings.Contains(text, "{token}") {
		cluster := a.ask("POST", "/v1/clusters?tenant="+tenant, `{"name":"`+name+`","labels":{"made":"`+name+`"}}`)["id"].(string)
		pairs = append(pairs, "{id}", cluster)
		if strings.Contains(text, "{status_id}") {
			report := a.ask("POST", "/v1/clusters/"+cluster+"/statuses", `{"adapter_name":"own","phase":"Pending"}`)
			pairs = append(pairs, "{status_id}", report["id"].(string))
		}
	}
	if strings.Contains(text, "{token}") {
		due := a.ask("GET", "/v1/clusters?due=true&view=brief&backoffNotReady=10s&backoffReady=30m&labelSelector=made="+name, "")
		pairs = append(pairs, "{token}", due["items"].([]any)[0].(map[string]any)["token"].(string))
	}
	if strings.Contains(text, "{name}") {
		a.ask("PUT", "/v1/shards/"+tenant, matrix["holdShard"].body)
	}
	return strings.NewReplacer(pairs...)
}

func TestTheAuthorisationMatrix(t *testing.T) {
	a := newAuthorisation(t)
	a.fresh(own, "{id}") // so that lists have something to show
	a.fresh(foreign, "{id}")
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
			o := asked{a, strings.ToUpper(method), path, op, how}
			o.anonymous()
			cells++
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
	if about == foreign && o.op["x-tenants"] != "all" && (who.fleet || !strings.Contains(o.path, "{id}")) && !strings.Contains(o.path, "{name}") {
		query.Set("tenant", map[bool]string{true: own, false: foreign}[strings.Contains(o.path, "{id}")])
	}
	path := "/v1" + at.Replace(o.path) + "?" + at.Replace(o.how.query)
	if len(query) > 0 && !o.public() {
		path += "&" + query.Encode()
	}
	if o.how.media != "" {
		header.Set("Content-Type", o.how.media)
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
	case !slices.Contains(asList(o.op["x-roles"]), any(who.role)), o.op["x-tenants"] == "all" && !who.fleet:
		return status(http.StatusForbidden)
	case about != foreign:
		return ok
	case strings.Contains(o.path, "{id}"): // another tenant's does not exist
		return status(http.StatusNotFound)
	case strings.Contains(o.path, "{name}") && !reads && who.role != "admin": // another's name
		return status(http.StatusForbidden)
	case strings.Contains(o.path, "{name}"), o.op["x-tenants"] == "all":
		return ok
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
	at := a.fresh(own, "{id} {token}")
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
	at := a.fresh(own, "{id} {token}")
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
