package rest_test

import (
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func (b *bed) pool(cluster fleet.Resource, name string) fleet.Resource {
	b.Helper()
	return want[fleet.Resource](b, 201, "POST", cluster.Href+"/nodepools", `{"name":"`+name+`","spec":{"replicas":3}}`)
}

// problem says what a request was refused for.
func (b *bed) problem(status int, method, path, body string, says ...string) {
	b.Helper()
	got := b.send(request{method: method, path: path, body: body})
	for _, text := range says {
		if !strings.Contains(string(got.body), text) {
			b.Errorf("%s %s %s: %s does not say %q", method, path, body, got.body, text)
		}
	}
	if got.status != status {
		b.Errorf("%s %s %s: answered %d, want %d: %s", method, path, body, got.status, status, got.body)
	}
}

func TestNestedAndFlatRoutesAreTheSamePools(t *testing.T) {
	b := newBed(t)
	c, other := b.create("a", `"region":"us-east"`), b.create("b", "")
	got := b.send(request{method: "POST", path: c.Href + "/nodepools", body: `{"name":"one","labels":{"tier":"gold"},"spec":{"replicas":3}}`})
	if at := got.header.Get("Location"); got.status != 201 || !strings.HasPrefix(at, "/v1/nodepools/") {
		t.Fatalf("%d at %s: %s", got.status, at, got.body)
	}
	one := want[fleet.Resource](b, 200, "GET", got.header.Get("Location"), "")
	if one.Kind != "NodePool" || one.OwnerID() != c.ID || one.Labels["region"] != "us-east" || one.Labels["tier"] != "gold" {
		t.Errorf("%+v", one)
	}
	two := want[fleet.Resource](b, 201, "POST", "/v1/nodepools", `{"name":"two","owner":{"id":"`+strings.ToUpper(c.ID)+`"},"paused":true}`)
	if two.OwnerID() != c.ID || !two.Paused {
		t.Errorf("%+v", two)
	}
	b.pool(other, "three")
	for path, names := range map[string]string{
		c.Href + "/nodepools":                                      "one two",
		strings.TrimPrefix(c.Href, "/v1") + "/nodepools":           "one two",
		c.Href + "/nodepools?labels=tier:gold":                     "one",
		other.Href + "/nodepools":                                  "three",
		"/v1/nodepools":                                            "one two three",
		"/v1/nodepools?owner=" + c.ID:                              "one two",
		"/v1/nodepools?owner=" + strings.ToUpper(c.ID):             "one two",
		"/v1/nodepools?name=two&owner=" + other.ID:                 "",
		"/v1/nodepools?owner=0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10": "",
	} {
		var found []string
		for _, p := range want[fleet.List](b, 200, "GET", path, "").Items {
			found = append(found, p.Name)
		}
		if strings.Join(found, " ") != names {
			t.Errorf("GET %s: %v, want %s", path, found, names)
		}
	}
	none := "/v1/clusters/0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10"
	b.problem(404, "GET", none+"/nodepools", "")
	b.problem(404, "POST", none+"/nodepools", `{"name":"x"}`)
	b.problem(422, "POST", "/v1/nodepools", `{"name":"x"}`, "/owner", "is required here")
	b.problem(422, "POST", "/v1/nodepools", `{"name":"x","owner":{"id":"0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10"}}`, "/owner/id", "no Cluster")
	b.problem(422, "POST", c.Href+"/nodepools", `{"name":"x","owner":{"id":"`+other.ID+`"}}`, "/owner/id")
	b.problem(422, "POST", c.Href+"/nodepools", `{"name":"x","labels":{"region":"eu-west"}}`, "/labels/region", "inherited")
	b.problem(422, "PATCH", one.Href, `{"labels":{"region":"eu-west"}}`, "/labels/region")
	b.problem(422, "PATCH", one.Href, `{"owner":{"id":"`+other.ID+`"}}`, "/owner")
	b.problem(422, "POST", c.Href+"/nodepools", `{"name":"x","spec":{"replicas":"3"}}`, "/spec/replicas")
	b.problem(409, "POST", other.Href+"/nodepools", `{"name":"one"}`, "name_taken")
	b.problem(400, "GET", "/v1/nodepools?owner=x", "", "owner")
	b.problem(400, "GET", "/v1/clusters?owner="+c.ID, "", "not a parameter")
	b.problem(400, "GET", c.Href+"/nodepools?owner="+c.ID, "", "not a parameter")
	b.problem(400, "GET", c.Href+"/nodepools?due=true", "", "not a parameter")

	r := want[fleet.Report](b, 201, "POST", one.Href+"/statuses", `{"adapter_name":"validation","phase":"Running"}`)
	if r.ClusterID != c.ID || r.ResourceID != one.ID {
		t.Errorf("%+v", r)
	}
	if l := want[fleet.ReportList](b, 200, "GET", one.Href+"/statuses", ""); len(l.Items) != 1 || l.Items[0].ClusterID != c.ID {
		t.Errorf("%+v", l)
	}
	due := want[fleet.DueList](b, 200, "GET", "/v1/nodepools?due=woken&view=brief&backoffNotReady=1h&backoffReady=1h&labels=region:us-east", "")
	if len(due.Items) != 1 || due.Items[0].ID != one.ID {
		t.Errorf("%+v", due)
	}
}

func TestDeletionIsAnsweredByWhatBecameOfIt(t *testing.T) {
	b := newBed(t)
	c := b.create("a", "")
	p := b.pool(c, "one")
	want[any](b, 200, "PATCH", p.Href, `{"deletion_protection":true}`)
	b.problem(409, "DELETE", c.Href, "", "NodePool one")
	b.problem(409, "DELETE", c.Href+"?force=true", "", "NodePool one")
	want[any](b, 200, "PATCH", p.Href, `{"deletion_protection":null}`)
	for _, r := range []fleet.Resource{c, p} {
		want[any](b, 201, "POST", r.Href+"/statuses", `{"adapter_name":"validation","phase":"Running"}`)
	}
	first := b.send(request{method: "DELETE", path: c.Href})
	again := b.send(request{method: "DELETE", path: c.Href})
	if first.status != 202 || again.status != 202 || string(first.body) != string(again.body) || first.header.Get("ETag") == "" {
		t.Errorf("%d %s\n%d %s", first.status, first.body, again.status, again.body)
	}
	for _, patch := range []string{`{"labels":{"a":"b"}}`, `{"paused":true}`, `{}`} {
		b.problem(409, "PATCH", c.Href, patch, "being deleted")
		b.problem(409, "PATCH", p.Href, patch, "being deleted")
	}
	b.problem(409, "POST", c.Href+"/nodepools", `{"name":"late"}`, "being deleted")
	want[fleet.Resource](b, 202, "POST", c.Href+"/reconcile", "") // it waits for its pools all the same
	want[fleet.Resource](b, 202, "POST", p.Href+"/reconcile", "")
	if l := want[fleet.List](b, 200, "GET", "/v1/clusters?phase=Deleting", ""); len(l.Items) != 1 {
		t.Errorf("%+v", l)
	}
	want[any](b, 201, "POST", p.Href+"/statuses", `{"adapter_name":"validation","phase":"Complete"}`)
	want[any](b, 404, "GET", p.Href, "")
	want[any](b, 404, "GET", p.Href+"/statuses", "")
	want[any](b, 404, "POST", p.Href+"/statuses", `{"adapter_name":"validation","phase":"Complete"}`)
	if stone := want[fleet.Resource](b, 200, "GET", p.Href+"?deleted=true", ""); stone.Status.Phase != fleet.Deleted {
		t.Errorf("%+v", stone)
	}
	want[any](b, 204, "DELETE", c.Href+"?force=true", "")
	if l := want[fleet.List](b, 200, "GET", c.Href+"/nodepools?deleted=true", ""); len(l.Items) != 1 {
		t.Errorf("%+v", l)
	}
	want[any](b, 404, "GET", c.Href+"/nodepools", "")
	want[any](b, 204, "DELETE", b.create("b", "").Href, "")
}

func TestReconcileAndPauseOverHTTP(t *testing.T) {
	b := newBed(t)
	c := b.create("old", "")
	want[any](b, 201, "POST", c.Href+"/statuses", `{"adapter_name":"dns","phase":"Failed"}`)
	if _, err := b.db.ExecContext(t.Context(), `UPDATE clusters SET spec = '{"version": 4}' WHERE id = $1`, c.ID); err != nil { // as a newer schema would refuse it
		t.Fatal(err)
	}
	got := want[fleet.Resource](b, 202, "POST", c.Href+"/reconcile?adapter=dns,validation", "")
	if dns, _ := got.Status.Adapter("dns"); dns.Phase != fleet.ReportPending || dns.Message != "reconcile requested" || dns.AttemptBase != 1 {
		t.Errorf("%+v", got.Status)
	}
	b.problem(400, "POST", c.Href+"/reconcile?adapter=dns,,x", "", "adapter")
	b.problem(400, "POST", c.Href+"/reconcile?adapters=dns", "", "adapters")
	b.problem(400, "POST", c.Href+"/reconcile", `{}`, "no body")
	want[any](b, 404, "POST", "/v1/clusters/0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10/reconcile", "")
	if got = want[fleet.Resource](b, 200, "PATCH", c.Href, `{"paused":true}`); !got.Paused {
		t.Errorf("%+v", got)
	}
	b.problem(409, "POST", c.Href+"/reconcile", "", "paused")
	b.problem(422, "PATCH", c.Href, `{"paused":"yes"}`, "/paused")
	want[any](b, 200, "PATCH", c.Href, `{"paused":null}`)
	want[any](b, 202, "DELETE", c.Href, "")
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	b := newBed(t)
	c := b.create("a", "")
	hold := func(poll string) string {
		return `{"holder":"h","resourceType":"clusters","selector":"","backoffNotReady":"1s","backoffReady":"1s","pollInterval":"` + poll + `"}`
	}
	b.problem(422, "PUT", "/v1/shards/s", hold("0s"), "/pollInterval")
	b.problem(422, "PUT", "/v1/shards/s", hold("2h"), "/pollInterval")
	want[any](b, 200, "PUT", "/v1/shards/s", hold("10ms"))
	b.problem(400, "PUT", "/v1/shards/S_x", hold("5s"), "name")
	b.problem(400, "GET", "/v1/shards/S_x", "", "name")
	b.problem(400, "DELETE", "/v1/shards/S_x?holder=h", "", "name")
	b.problem(422, "POST", c.Href+"/statuses", `{"adapter_name":"dns","phase":"Running","retry_after":"721h"}`, "/retry_after")
	want[any](b, 201, "POST", c.Href+"/statuses", `{"adapter_name":"extra","phase":"Running","retry_after":"720h"}`)
	b.problem(422, "POST", c.Href+"/reconcile?adapter=nosuch", "", "adapter", "dns, extra, validation")
	want[any](b, 202, "POST", c.Href+"/reconcile?adapter=extra", "")
}

func TestAdaptersRegister(t *testing.T) {
	b := newBed(t)
	at := "/v1/adapters/dns"
	got := want[fleet.Adapter](b, 200, "PUT", at, `{"instance":"us-east/hyperfleet-system/dns-adapter","resourceTypes":["clusters"],"dependencies":["validation"],
		"hasDeletion":true,"version":"1.4.0","deadLetters":{"count":2,"oldest":"2026-01-02T03:04:05Z"}}`)
	if !got.HasDeletion || len(got.Instances) != 1 || got.Instances[0].DeadLetters.Count != 2 || len(got.RequiredFor) != 1 {
		t.Errorf("%+v", got)
	}
	want[any](b, 200, "PUT", at, `{"instance":"us-east/default/second","resourceTypes":["nodepools"]}`)
	if got = want[fleet.Adapter](b, 200, "GET", at, ""); len(got.Instances) != 2 || len(got.ResourceTypes) != 2 {
		t.Errorf("%+v", got)
	}
	if l := want[fleet.AdapterList](b, 200, "GET", "/adapters", ""); len(l.Items) != 2 || l.Items[1].Name != "validation" || l.Items[1].Registered() {
		t.Errorf("%+v", l)
	}
	b.problem(422, "PUT", at, `{"instance":"","resourceTypes":[],"dependencies":["A"],"extra":1}`, "/instance", "/resourceTypes", "/dependencies/0", "/extra")
	b.problem(422, "PUT", at, `{"instance":"a/b/c","resourceTypes":["clusters"],"dependencies":["dns"]}`, "itself")
	b.problem(422, "PUT", at, `{"instance":"a/b/c","resourceTypes":["things"]}`, "/resourceTypes/0")
	b.problem(422, "PUT", at, `{"instance":"x","resourceTypes":["clusters"]}`, "/instance")
	b.problem(400, "GET", "/v1/adapters/a..b", "", "name")
	b.problem(400, "DELETE", "/v1/adapters/a..b", "", "name")
	b.problem(400, "PUT", "/v1/adapters/a..b", `{"instance":"a/b/c","resourceTypes":["clusters"]}`)
	b.problem(404, "GET", "/v1/adapters/nobody", "")
	b.problem(400, "DELETE", at+"?instance=", "", "instance")
	want[any](b, 204, "DELETE", at+"?instance=us-east/default/second", "")
	want[any](b, 204, "DELETE", at, "")
	want[any](b, 404, "DELETE", at, "")
}
