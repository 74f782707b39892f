package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func (b *bed) audit(query string) []string {
	b.Helper()
	got := []string{}
	for _, e := range want[fleet.AuditList](b, 200, "GET", "/v1/audit?"+query, "").Items {
		text := func(n *int64) string {
			if n == nil {
				return "-"
			}
			return fmt.Sprint(*n)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s>%s", e.Action, e.ResourceType, e.Name, text(e.GenerationBefore), text(e.GenerationAfter)))
	}
	return got
}

// TestEveryWriteIsInTheAudit: who, what, when, from which generation to which.
func TestEveryWriteIsInTheAudit(t *testing.T) {
	b := newBed(t)
	c := b.create("prod-1", `"region":"us-east"`)
	it := "/v1/clusters/" + c.ID
	pool := want[fleet.Resource](b, 201, "POST", it+"/nodepools", `{"name":"workers"}`)
	want[any](b, 422, "PATCH", it, `{"spec":[]}`)                                // a write that failed
	want[fleet.Resource](b, 200, "PATCH", it, `{"labels":{"region":"us-east"}}`) // and one that changes nothing
	got := b.send(request{"PATCH", it, http.Header{"X-Request-Id": {"mine"}}, `{"spec":{"version":"5"}}`})
	if got.status != 200 {
		t.Fatalf("answered %d: %s", got.status, got.body)
	}
	want[fleet.Resource](b, 200, "PATCH", it, `{"labels":{"region":"eu-west"}}`) // which the pool follows
	r := want[fleet.Report](b, 201, "POST", it+"/statuses", `{"adapter_name":"dns","phase":"Running"}`)
	want[any](b, 200, "PATCH", it+"/statuses/"+r.ID, `{"message":"better"}`)
	want[any](b, 204, "DELETE", it+"/statuses/"+r.ID, "")
	want[any](b, 202, "POST", it+"/reconcile", "")
	want[any](b, 200, "PUT", "/v1/shards/one", `{"holder":"a","resourceType":"clusters","selector":"","backoffNotReady":"1s","backoffReady":"1s","pollInterval":"5s"}`)
	want[any](b, 204, "DELETE", "/v1/shards/one", "")
	want[any](b, 202, "DELETE", it, "")
	want[any](b, 204, "DELETE", it+"?force=true", "")
	all := b.audit("")
	if diff := cmp.Diff([]string{
		"force-delete clusters prod-1 3>3",
		"delete nodepools workers 1>2", "delete clusters prod-1 2>3",
		"delete shards one ->-",
		"reconcile clusters prod-1 2>2", "delete-report clusters prod-1 2>2", "correct-report clusters prod-1 2>2",
		"update nodepools workers 1>1", "update clusters prod-1 2>2", "update clusters prod-1 1>2",
		"create nodepools workers ->1", "create clusters prod-1 ->1",
	}, all); diff != "" {
		t.Errorf("the audit (-want +got):\n%s", diff)
	}
	list := want[fleet.AuditList](b, 200, "GET", "/v1/audit?action=update&resourceType=clusters&resourceId="+c.ID, "")
	if len(list.Items) != 2 || list.Items[1].RequestID != "mine" || list.Items[1].Principal == "" || list.Items[1].Tenant != "default" {
		t.Errorf("%+v", list.Items)
	}
	at := list.Items[1].At
	after := at.Add(time.Microsecond).Format(time.RFC3339Nano)
	for query, n := range map[string]int{
		"principal=nobody": 0, "principal=" + list.Items[0].Principal: len(all), "resourceId=" + pool.ID: 3, "tenant=other": 0,
		"since=" + at.String(): len(all) - 2, "since=" + after: len(all) - 3, "until=" + at.String(): 2, "until=" + after: 3,
	} {
		if got := b.audit(query); len(got) != n {
			t.Errorf("%s: %d entries, want %d: %q", query, len(got), n, got)
		}
	}
	var walked []string
	for cont := ""; ; {
		page := want[fleet.AuditList](b, 200, "GET", "/v1/audit?limit=5&continue="+cont, "")
		for _, e := range page.Items {
			walked = append(walked, e.ID)
		}
		if cont = page.Continue; cont == "" {
			break
		}
	}
	if len(walked) != len(all) {
		t.Errorf("page by page there are %d entries, want %d", len(walked), len(all))
	}
	if _, err := b.db.ExecContext(t.Context(), `DELETE FROM audit WHERE id = $1`, walked[0]); err != nil {
		t.Error(err)
	}
}

// TestAWriteIsNotStoredWithoutItsAudit: the two are one transaction.
func TestAWriteIsNotStoredWithoutItsAudit(t *testing.T) {
	b := newBed(t)
	c := b.create("prod-1", "")
	before := b.stored()
	if _, err := b.db.ExecContext(t.Context(), `ALTER TABLE audit ADD CONSTRAINT closed CHECK (false) NOT VALID`); err != nil {
		t.Fatal(err)
	}
	b.send(request{method: "PATCH", path: "/v1/clusters/" + c.ID, body: `{"spec":{"version":"5"}}`})
	b.send(request{method: "DELETE", path: "/v1/clusters/" + c.ID})
	b.send(request{method: "POST", path: "/v1/clusters", body: `{"name":"prod-2"}`})
	if after := b.stored(); after != before {
		t.Errorf("stored without a trace:\n%s%s", before, after)
	}
}

func TestSchemasStandAlone(t *testing.T) {
	b := newBed(t)
	for _, info := range fleet.Types() {
		got := b.send(request{method: "GET", path: "/v1/schemas/" + string(info.Type)})
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(got.body)))
		if got.status != 200 || err != nil {
			t.Fatalf("%s: answered %d, %v: %s", info.Type, got.status, err, got.body)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("test:///v1/schemas/"+string(info.Type), document); err != nil {
			t.Fatal(err)
		}
		compiled, err := compiler.Compile("test:///v1/schemas/" + string(info.Type))
		if err != nil {
			t.Fatal(err)
		}
		for text, valid := range map[string]bool{`{}`: true, `{"other":1}`: true, `[]`: false} {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled.Validate(value); (err == nil) != valid {
				t.Errorf("%s of %s: %v", text, info.Type, err)
			}
		}
	}
	if got := b.send(request{method: "GET", path: "/v1/schemas/Cluster"}); got.status != 404 {
		t.Errorf("an unknown type answered %d", got.status)
	}
}

// TestTheAuditTellsUsersFromWorkloads: an admin's report, registration and hold
// of a shard are a user's writes; those of an adapter and a sentinel are not.
func TestTheAuditTellsUsersFromWorkloads(t *testing.T) {
	t.Parallel()
	a := newAuthorisation(t)
	id := a.ask("POST", "/v1/clusters", `{"name":"prod-1"}`)["id"].(string)
	writes := map[string]request{
		"report clusters prod-1": {method: "POST", path: "/v1/clusters/" + id + "/statuses", body: `{"adapter_name":"` + own + `","phase":"Running"}`},
		"update adapters " + own: {method: "PUT", path: "/v1/adapters/" + own, body: `{"instance":"r/n/x","resourceTypes":["clusters"]}`},
		"update shards " + own: {method: "PUT", path: "/v1/shards/" + own,
			body: `{"holder":"h","resourceType":"clusters","selector":"","backoffNotReady":"1s","backoffReady":"1s","pollInterval":"5s"}`},
	}
	noted := func() map[string]bool {
		out := map[string]bool{}
		for _, e := range a.ask("GET", "/v1/audit", "")["items"].([]any) {
			entry := e.(map[string]any)
			out[fmt.Sprintf("%s %s %s", entry["action"], entry["resourceType"], entry["name"])] = true
		}
		return out
	}
	for what, r := range writes {
		r.header = a.as(identity{"adapter", false}, "default")
		if strings.Contains(what, "shards") {
			r.header = a.as(identity{"sentinel", true}, none)
		}
		if got := a.send(r); got.status > 299 {
			t.Fatalf("%s: %d %s", what, got.status, got.body)
		}
	}
	if got := noted(); len(got) != 1 {
		t.Errorf("of workloads: %v", got)
	}
	for what, r := range writes {
		a.ask(r.method, r.path, r.body)
		if !noted()[what] {
			t.Errorf("%s by an admin is not noted", what)
		}
	}
}
