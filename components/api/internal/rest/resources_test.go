package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestAClustersLife(t *testing.T) {
	b := newBed(t)
	got := b.send(request{method: "POST", path: "/v1/clusters", body: example(t, "cluster.json")})
	if got.status != 201 {
		t.Fatalf("the example cluster: %d %s", got.status, got.body)
	}
	at := got.header.Get("Location")
	c := want[fleet.Resource](b, 200, "GET", at, "")
	if c.Href != at || !strings.HasPrefix(at, "/v1/clusters/") || c.Generation != 1 || c.Status.Phase != fleet.Pending || c.Tenant != "default" {
		t.Errorf("created at %s: %+v", at, c)
	}

	c = want[fleet.Resource](b, 200, "PATCH", at, `{"labels":{"team":null,"tier":"gold"}}`)
	if diff := cmp.Diff(map[string]string{"region": "us-east", "environment": "production", "tier": "gold"}, c.Labels); diff != "" || c.Generation != 1 {
		t.Errorf("labels patched, generation %d:\n%s", c.Generation, diff)
	}
	c = want[fleet.Resource](b, 200, "PATCH", at, `{"spec":{"version":"4.16.4","pullSecrets":[],"dns":{"ttl":null}}}`)
	if c.Generation != 2 || !strings.Contains(string(c.Spec), "4.16.4") || strings.Contains(string(c.Spec), "ttl") || !strings.Contains(string(c.Spec), "baseDomain") {
		t.Errorf("spec patched to generation %d: %s", c.Generation, c.Spec)
	}
	version := c.ResourceVersion
	for _, nothing := range []string{`{}`, `{"spec":{}}`, `{"spec":{"version":"4.16.4"}}`, `{"labels":{"gone":null}}`, `{"spec":{"networking":{"hostPrefix":23.0}}}`} {
		if c = want[fleet.Resource](b, 200, "PATCH", at, nothing); c.ResourceVersion != version || c.Generation != 2 {
			t.Errorf("patch %s changed something: %s, generation %d", nothing, c.ResourceVersion, c.Generation)
		}
	}
	c = want[fleet.Resource](b, 200, "PATCH", at, `{"spec":null,"labels":null}`)
	if string(c.Spec) != "{}" || len(c.Labels) != 0 || c.Generation != 3 {
		t.Errorf("patched to nothing: %s %v", c.Spec, c.Labels)
	}

	want[any](b, 204, "DELETE", at, "")
	want[any](b, 404, "GET", at, "")
	want[any](b, 404, "DELETE", at, "")
	want[any](b, 404, "PATCH", at, `{"labels":{"a":"b"}}`)
	if c = want[fleet.Resource](b, 200, "GET", at+"?deleted=true", ""); c.DeletedAt == nil || c.Status.Phase != fleet.Deleted {
		t.Errorf("the tombstone: %+v", c)
	}
	b.create(c.Name, "") // its name is free
}

func TestAStoredSpecThatTheSchemaRefusesCanStillBeLabelled(t *testing.T) {
	b := newBed(t)
	c := b.create("old", "")
	if _, err := b.db.ExecContext(t.Context(), `UPDATE clusters SET spec = '{"version": 4, "region": "x"}' WHERE id = $1`, c.ID); err != nil {
		t.Fatal(err)
	}
	at := c.Href
	want[any](b, 200, "PATCH", at, `{"labels":{"a":"b"}}`)
	want[any](b, 200, "PATCH", at, `{"labels":{"a":"c"},"spec":{"region":"x"}}`) // leaves spec as it is
	want[any](b, 422, "PATCH", at, `{"spec":{"region":"y"}}`)
	want[any](b, 200, "PATCH", at, `{"spec":{"region":"y","version":"4"}}`)
}

func TestBarePathsAreAliases(t *testing.T) {
	b := newBed(t)
	got := b.send(request{method: "POST", path: "/clusters", body: `{"name":"a","labels":{"region":"us-east"}}`})
	at := got.header.Get("Location")
	if got.status != 201 || !strings.HasPrefix(at, "/v1/clusters/") {
		t.Fatalf("POST /clusters: %d, at %s", got.status, at)
	}
	bare := strings.TrimPrefix(at, "/v1")
	if c := want[fleet.Resource](b, 200, "GET", bare, ""); c.Href != at {
		t.Errorf("href is %s, want the canonical %s", c.Href, at)
	}
	want[fleet.Report](b, 201, "POST", bare+"/statuses", `{"adapter_name":"dns","phase":"Complete","last_transition_time":"2025-10-21T14:35:00Z"}`)
	if l := want[fleet.List](b, 200, "GET", "/clusters?labels=region:us-east", ""); len(l.Items) != 1 {
		t.Errorf("GET /clusters lists %d", len(l.Items))
	}
	upper := "/clusters/" + strings.ToUpper(strings.TrimPrefix(bare, "/clusters/"))
	want[fleet.Resource](b, 200, "GET", upper, "")
	if head := b.send(request{method: "HEAD", path: bare}); head.status != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %d with %d bytes", head.status, len(head.body))
	}
	want[any](b, 204, "DELETE", bare+"?force=true", "")
}

func TestListsFilterAndPage(t *testing.T) {
	b := newBed(t)
	for i := range 7 {
		b.create(fmt.Sprintf("c-%d", i), fmt.Sprintf(`"region":"r%d"`, i%2))
	}
	want[any](b, 204, "DELETE", b.create("deleted", "").Href, "")
	names := func(query string) string {
		t.Helper()
		var all []string
		cont := "&continue="
		for {
			l := want[fleet.List](b, 200, "GET", "/v1/clusters?limit=2"+query+cont, "")
			for _, c := range l.Items {
				all = append(all, strings.TrimPrefix(c.Name, "c-"))
			}
			if l.Kind != "ClusterList" || len(l.Items) > 2 {
				t.Fatalf("a page of %d, kind %s", len(l.Items), l.Kind)
			}
			if l.Continue == "" {
				return strings.Join(all, "")
			}
			cont = "&continue=" + l.Continue
		}
	}
	for query, wanted := range map[string]string{
		"":                                          "0123456",
		"&labelSelector=region%3Dr1":                "135",
		"&labelSelector=region+notin+(r1)":          "0246",
		"&labelSelector=":                           "0123456",
		"&labels=region:r1":                         "135",
		"&name=c-3":                                 "3",
		"&phase=Pending":                            "0123456",
		"&phase=!Pending":                           "",
		"&phase=Ready,Failed":                       "",
		"&phase=!Ready,!Failed&labels=":             "0123456",
		"&updatedSince=2026-01-02T03:04:05Z":        "0123456",
		"&updatedSince=9999-01-01T00:00:00%2B01:00": "",
		"&deleted=true":                             "0123456deleted",
	} {
		if got := names(query); got != wanted {
			t.Errorf("list%s: %q, want %q", query, got, wanted)
		}
	}
}

func TestWhatIsDueIsPublishedOnce(t *testing.T) {
	b := newBed(t)
	c := b.create("a", `"region":"us-east"`)
	b.create("b", `"region":"eu-west"`)
	const path = "/v1/clusters?view=brief&backoffNotReady=1h&backoffReady=1h&labels=region:us-east&due="
	due := want[fleet.DueList](b, 200, "GET", path+"true", "")
	if len(due.Items) != 1 || due.Items[0].ID != c.ID || due.Items[0].Reason != fleet.GenerationChanged {
		t.Fatalf("due: %+v", due)
	}
	if l := want[fleet.DueList](b, 200, "GET", path+"expired", ""); len(l.Items) != 0 {
		t.Errorf("expired: %+v", l)
	}
	want[any](b, 204, "POST", "/v1/clusters/published", `{"tokens":["`+due.Items[0].Token+`"],"backoffNotReady":"1h","backoffReady":"1h"}`)
	if l := want[fleet.DueList](b, 200, "GET", path+"woken", ""); len(l.Items) != 0 {
		t.Errorf("still due: %+v", l)
	}
}

func TestATombstoneKeepsItsHistory(t *testing.T) {
	b := newBed(t)
	c := b.create("a", "")
	path := c.Href + "/statuses"
	r := want[fleet.Report](b, 201, "POST", path, `{"adapter_name":"dns","phase":"Pending","message":"waits"}`)
	want[any](b, 204, "DELETE", c.Href, "")
	for _, it := range []string{path, path + "/" + r.ID} {
		want[any](b, 404, "GET", it, "")
		want[any](b, 404, "GET", it+"?deleted=false", "")
		want[any](b, 400, "GET", it+"?deleted=yes", "")
	}
	if l := want[fleet.ReportList](b, 200, "GET", path+"?deleted=true&adapter=dns", ""); len(l.Items) != 1 || l.Items[0].Message != "waits" || l.Items[0].ClusterID != c.ID {
		t.Errorf("the history is %+v", l)
	}
	if got := want[fleet.Report](b, 200, "GET", path+"/"+r.ID+"?deleted=true", ""); got.ID != r.ID {
		t.Errorf("the entry is %+v", got)
	}
	want[any](b, 404, "POST", path, `{"adapter_name":"dns","phase":"Running"}`)
	want[any](b, 400, "PATCH", path+"/"+r.ID+"?deleted=true", `{"message":"x"}`)
}

func TestStatusesFromReportToRollUp(t *testing.T) {
	b := newBed(t)
	c := b.create("a", "")
	path := c.Href + "/statuses"
	got := b.send(request{method: "POST", path: path, body: `{"adapter_name":"validation","phase":"Running","message":"started","retry_after":"1m"}`})
	at := got.header.Get("Location")
	first := want[fleet.Report](b, 200, "GET", at, "")
	if got.status != 201 || first.Phase != fleet.ReportRunning || first.Attempt != 1 || first.RetryAt == nil || first.ClusterID != c.ID {
		t.Fatalf("%d %+v", got.status, first)
	}
	again := want[fleet.Report](b, 201, "POST", path, `{"adapter_name":"validation","phase":"Running","message":"started"}`)
	if again.ID != first.ID || again.Reports != 2 {
		t.Errorf("an identical report was not folded: %+v", again)
	}
	done := want[fleet.Report](b, 201, "POST", path, `{"adapter_name":"validation","phase":"Complete","data":{"policies":7},"checked_at":"2026-01-02T03:04:05Z"}`)
	want[fleet.Report](b, 201, "POST", path, `{"adapter_name":"dns","phase":"Complete"}`)
	if c = want[fleet.Resource](b, 200, "GET", c.Href, ""); c.Status.Phase != fleet.Ready || len(c.Status.Adapters) != 2 {
		t.Errorf("rolled up to %+v", c.Status)
	}
	if v, _ := c.Status.Adapter("validation"); string(v.Data) != `{"policies": 7}` && string(v.Data) != `{"policies":7}` {
		t.Errorf("data is %s", v.Data)
	}

	page := want[fleet.ReportList](b, 200, "GET", path+"?limit=2", "")
	rest := want[fleet.ReportList](b, 200, "GET", path+"?limit=2&continue="+page.Continue, "")
	if len(page.Items) != 2 || len(rest.Items) != 1 || page.Items[0].AdapterName != "dns" || rest.Items[0].ID != first.ID || rest.Continue != "" {
		t.Errorf("history: %+v, then %+v", page, rest)
	}
	if l := want[fleet.ReportList](b, 200, "GET", path+"?adapter=validation", ""); len(l.Items) != 2 {
		t.Errorf("history of one adapter: %+v", l)
	}

	at = path + "/" + done.ID
	want[any](b, 409, "PATCH", path+"/"+first.ID, `{"message":"x"}`)
	want[any](b, 409, "DELETE", path+"/"+first.ID, "")
	if r := want[fleet.Report](b, 200, "PATCH", at, `{"message":"corrected"}`); r.Message != "corrected" || string(r.Data) == "{}" {
		t.Errorf("patched to %+v", r)
	}
	merge := request{method: "PATCH", path: at, header: http.Header{"Content-Type": {"application/merge-patch+json"}}, body: `{"data":{}}`}
	if got := b.send(merge); got.status != 200 || !strings.Contains(string(got.body), `"data":{}`) {
		t.Errorf("patched: %d %s", got.status, got.body)
	}
	want[any](b, 204, "DELETE", at, "")
	if c = want[fleet.Resource](b, 200, "GET", c.Href, ""); c.Status.Phase != fleet.Provisioning {
		t.Errorf("taken back, the phase is %s", c.Status.Phase)
	}
	want[any](b, 409, "POST", path, `{"adapter_name":"dns","phase":"Running"}`)
}
