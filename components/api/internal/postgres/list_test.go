package postgres

import (
	"encoding/json"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// TestAListedResourceIsTheResource: what is passed on unread says the same.
func TestAListedResourceIsTheResource(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", map[string]string{"region": "us-east", "odd": `a.b_c`})
	patch(t, s, r.ID, withSpec(`{"text":"<&>\"\\ é\u2028","n":[1.50,-0,1e3],"null":null}`))
	report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: running, Message: `"<é>"`, RetryAfter: "1h"})
	create(t, s, "b", nil)
	names, err := of(clusters)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := s.db.SelectContext(t.Context(), &rows, names.sql(`SELECT `+columns+` FROM {resources}`)); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		whole, err := r.resource(clusters)
		if err != nil {
			t.Fatal(err)
		}
		listed, err := r.item(clusters).AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		want, got := unmarshal[any](t, []byte(mustJSON(whole))), unmarshal[any](t, listed)
		if diff := gocmp.Diff(want, got); diff != "" || !json.Valid(listed) {
			t.Errorf("resource (-) and item (+):\n%s", diff)
		}
	}
}
