package postgres

import (
	"encoding/json"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"

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
	names, err := database.TablesFor(clusters)
	if err != nil {
		t.Fatal(err)
	}
	var rows []resource.Row
	if err := s.db.DB.SelectContext(t.Context(), &rows, names.SQL(`SELECT `+resource.Columns+` FROM {resources}`)); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		whole, err := r.Resource(clusters)
		if err != nil {
			t.Fatal(err)
		}
		listed, err := r.Item(clusters).AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		want, got := unmarshal[any](t, []byte(database.JSON(whole))), unmarshal[any](t, listed)
		if diff := gocmp.Diff(want, got); diff != "" || !json.Valid(listed) {
			t.Errorf("resource (-) and item (+):\n%s", diff)
		}
	}
}
