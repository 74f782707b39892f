package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func keyed(key, path, body string) request {
	return request{method: "POST", path: path, header: http.Header{"Idempotency-Key": {key}}, body: body}
}

func TestARepeatedRequestIsAnsweredAsBefore(t *testing.T) {
	b := newBed(t)
	const body = `{"name":"prod-1","labels":{"b":"2","a":"1"},"spec":{"z":1.50,"html":"<&>","list":[1, 2]}}`
	first := b.send(keyed("k-1", "/v1/clusters", body))
	if first.status != 201 {
		t.Fatalf("answered %d: %s", first.status, first.body)
	}
	location := first.header.Get("Location")
	want[fleet.Resource](b, 200, "PATCH", location, `{"labels":{"a":"changed"}}`)
	same := func(why string, again response) {
		t.Helper()
		if again.status != 201 || string(again.body) != string(first.body) || again.header.Get("Location") != location || again.header.Get("ETag") != first.header.Get("ETag") {
			t.Errorf("%s: answered %d %s, before %s", why, again.status, again.body, first.body)
		}
	}
	same("once more", b.send(keyed("k-1", "/v1/clusters", body)))
	same("by the path's alias", b.send(keyed("k-1", "/clusters", body)))
	want[any](b, 204, "DELETE", location, "")
	same("once it is deleted", b.send(keyed("k-1", "/v1/clusters", body)))

	tests := map[string]struct {
		request
		status int
		code   fleet.Code
	}{
		"another body under the key":  {keyed("k-1", "/v1/clusters", strings.Replace(body, "prod-1", "prod-2", 1)), 409, fleet.KeyReused},
		"an invalid body":             {keyed("k-2", "/v1/clusters", `{"name":"A"}`), 422, fleet.Invalid},
		"which leaves the key unused": {keyed("k-2", "/v1/clusters", `{"name":"prod-2"}`), 201, ""},
		"keys are told apart by case": {keyed("K-2", "/v1/clusters", `{"name":"prod-2"}`), 409, fleet.NameTaken},
		"an empty key":                {keyed("", "/v1/clusters", body), 400, fleet.BadRequest},
		"a key with a space":          {keyed("a b", "/v1/clusters", body), 400, fleet.BadRequest},
		"a key that is not ASCII":     {keyed("é", "/v1/clusters", body), 400, fleet.BadRequest},
		"a long key":                  {keyed(strings.Repeat("k", 129), "/v1/clusters", body), 400, fleet.BadRequest},
		"two keys":                    {request{"POST", "/v1/clusters", http.Header{"Idempotency-Key": {"a", "b"}}, body}, 400, fleet.BadRequest},
		"the longest key":             {keyed(strings.Repeat("k", 128), "/v1/clusters", `{"name":"prod-3"}`), 201, ""},
	}
	for _, name := range []string{"another body under the key", "an invalid body", "which leaves the key unused", "keys are told apart by case",
		"an empty key", "a key with a space", "a key that is not ASCII", "a long key", "two keys", "the longest key"} {
		tt := tests[name]
		got := b.send(tt.request)
		if got.status != tt.status || tt.code != "" && !strings.Contains(string(got.body), `"code":"`+string(tt.code)+`"`) {
			t.Errorf("%s: answered %d, want %d %s: %s", name, got.status, tt.status, tt.code, got.body)
		}
	}
}

// TestConcurrentRepeatsMakeOneResource: whoever sends the same request at once
// gets the same answer, and there is one row.
func TestConcurrentRepeatsMakeOneResource(t *testing.T) {
	b := newBed(t)
	for i := range 5 * rounds(t) {
		const senders = 6
		answers := make([]response, senders)
		var all sync.WaitGroup
		for n := range senders {
			all.Go(func() {
				answers[n] = b.send(keyed(fmt.Sprintf("key-%d", i), "/v1/clusters", fmt.Sprintf(`{"name":"c-%d"}`, i)))
			})
		}
		all.Wait()
		for _, got := range answers {
			if got.status != 201 || string(got.body) != string(answers[0].body) {
				t.Fatalf("answered %d %s, another %s", got.status, got.body, answers[0].body)
			}
		}
		if list := want[fleet.List](b, 200, "GET", fmt.Sprintf("/v1/clusters?name=c-%d", i), ""); len(list.Items) != 1 {
			t.Fatalf("there are %d resources", len(list.Items))
		}
	}
}

func TestKeysExpire(t *testing.T) {
	b := newBed(t)
	if got := b.send(keyed("k", "/v1/clusters", `{"name":"a"}`)); got.status != 201 {
		t.Fatalf("answered %d", got.status)
	}
	age := func() { // a day passes
		t.Helper()
		if _, err := b.db.ExecContext(t.Context(), `UPDATE idempotency_keys SET expires_at = expires_at - interval '24 hours'`); err != nil {
			t.Fatal(err)
		}
	}
	age()
	if got := b.send(keyed("k", "/v1/clusters", `{"name":"b"}`)); got.status != 201 {
		t.Errorf("a key whose day is over answered %d: %s", got.status, got.body)
	}
	if _, err := b.db.ExecContext(t.Context(), `INSERT INTO idempotency_keys (tenant, principal, route, key, request, expires_at)
		SELECT 't', 'p', 'r', n::text, '', now() - interval '1 second' FROM generate_series(1, 1500) n`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Upkeep(t.Context(), 90*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := b.db.QueryRowContext(t.Context(), `SELECT count(*) FROM idempotency_keys`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d keys are left (%v), want the one that is not over", left, err)
	}
}
