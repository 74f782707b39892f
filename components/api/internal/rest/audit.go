package rest

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// audit tells who did what.
func (s *server) audit(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	var in audit.Query
	in.Principal = q.plain("principal")
	in.ResourceType = q.oneOf("resourceType", append(typeNames(), "shards", "adapters")...)
	in.ResourceID = strings.ToLower(q.plain("resourceId"))
	var actions []string
	for _, a := range fleet.Actions() {
		actions = append(actions, string(a))
	}
	in.Action = fleet.Action(q.oneOf("action", actions...))
	in.Since, in.Until = q.time("since"), q.time("until")
	in.Limit, in.Continue = q.page()
	if err := q.done(); err != nil {
		return err
	}
	entries := openStream(w, "AuditList", s.Timeout)
	end, err := s.Store.Audit(req.Context(), s.scope(req), in, func(e fleet.AuditEntry) error { return entries.encode(e) })
	if err != nil {
		return err
	}
	return entries.end(tail{Continue: end.Continue, AsOf: end.AsOf})
}

// plain reads a parameter that is compared as it is.
func (q *query) plain(name string) string {
	text, given := q.text(name)
	if given && (text == "" || len(text) > 1024 || strings.ContainsRune(text, 0) || !utf8.ValidString(text)) {
		q.bad(name, "must be 1 to 1024 bytes of text without the character U+0000")
	}
	return text
}

// schema answers the JSON Schema that judges a type's spec.
func (s *server) schema(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	name := element(req, "type")
	t, ok := fleet.ResourceType(name).Info()
	if !ok {
		return fleet.Errorf(fleet.NotFound, "there is no resource type %q; there are %s", name, strings.Join(typeNames(), ", "))
	}
	out, err := s.Schemas.Alone(t.Kind + "Spec")
	if err != nil {
		return err
	}
	out["$id"] = "/v1/schemas/" + string(t.Type)
	body, err := encode(out)
	if err != nil {
		return err
	}
	send(w, http.StatusOK, "application/schema+json", body)
	return nil
}
