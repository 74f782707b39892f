package rest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// resources answers for one resource type.
type resources struct {
	*server
	info fleet.TypeInfo
}

func (r resources) create(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	body, err := readBody(w, req, plainJSON)
	if err != nil {
		return err
	}
	once, err := once(req, body)
	if err != nil {
		return err
	}
	var in fleet.NewResource
	if err := r.Schemas.Decode(r.info.Kind+"Create", body, &in); err != nil {
		return err
	}
	tenant, err := r.tenant(req)
	if err != nil {
		return err
	}
	out, err := r.Store.Create(req.Context(), r.info, tenant, in, once)
	if err != nil {
		return err
	}
	w.Header().Set("Location", out.Href)
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusCreated, out)
}

// decode reads a body that must satisfy the named schema.
func (r resources) decode(w http.ResponseWriter, req *http.Request, schema string, into any, media ...string) error {
	body, err := readBody(w, req, media...)
	if err != nil {
		return err
	}
	return r.Schemas.Decode(schema, body, into)
}

func (r resources) get(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	deleted := q.flag("deleted")
	if err := q.done(); err != nil {
		return err
	}
	known, err := readTags(req.Header, "If-None-Match")
	if err != nil {
		return err
	}
	if known.given() {
		version, err := r.Store.ResourceVersion(req.Context(), r.info, r.scope(req), element(req, "id"), deleted)
		if err != nil {
			return err
		}
		if known.has(version) {
			setETag(w, version)
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	out, err := r.Store.Get(req.Context(), r.info, r.scope(req), element(req, "id"), deleted)
	if err != nil {
		return err
	}
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusOK, out)
}

func (r resources) delete(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	check, err := precondition(req)
	if err != nil {
		return err
	}
	if err := r.Store.Delete(req.Context(), r.info, r.scope(req), element(req, "id"), check); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (r resources) patch(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	var p patch
	if err := r.decode(w, req, r.info.Kind+"Patch", &p, mergePatch, plainJSON); err != nil {
		return err
	}
	check, err := precondition(req)
	if err != nil {
		return err
	}
	out, err := r.Store.Patch(req.Context(), r.info, r.scope(req), element(req, "id"), func(old fleet.Resource) (map[string]string, json.RawMessage, error) {
		if err := check(old); err != nil {
			return nil, nil, err
		}
		return r.change(old, p)
	})
	if err != nil {
		return err
	}
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusOK, out)
}

// patch is a merge patch over what users may change; what is left out is empty.
type patch struct {
	Labels json.RawMessage `json:"labels"`
	Spec   json.RawMessage `json:"spec"`
}

// change is what a resource becomes. Only what changes is judged, so that a
// resource whose spec a newer schema refuses can still be labelled.
func (r resources) change(old fleet.Resource, p patch) (map[string]string, json.RawMessage, error) {
	newLabels, labelProblems, err := r.changeLabels(old.Labels, p.Labels)
	if err != nil {
		return nil, nil, err
	}
	spec, specProblems, err := r.changeSpec(old.Spec, p.Spec)
	if err != nil {
		return nil, nil, err
	}
	if found := append(labelProblems, specProblems...); len(found) > 0 {
		return nil, nil, &fleet.Error{Code: fleet.Invalid, Detail: "what the patch results in breaks a rule of the API's contract", Problems: found}
	}
	return newLabels, spec, nil
}

func (r resources) changeLabels(old map[string]string, p json.RawMessage) (map[string]string, []fleet.Problem, error) {
	if len(p) == 0 {
		return old, nil, nil
	}
	before, err := json.Marshal(old)
	if err != nil {
		return nil, nil, err
	}
	after, err := merge(before, p)
	if err != nil {
		return nil, nil, err
	}
	var out map[string]string
	if err := json.Unmarshal(after, &out); err != nil {
		return nil, nil, err
	}
	if out == nil { // null removes all
		out = map[string]string{}
	}
	if maps.Equal(old, out) {
		return old, nil, nil
	}
	after, err = json.Marshal(out)
	if err != nil {
		return nil, nil, err
	}
	found, err := r.Schemas.Problems("Labels", "/labels", after)
	return out, found, err
}

func (r resources) changeSpec(old, p json.RawMessage) (json.RawMessage, []fleet.Problem, error) {
	if len(p) == 0 {
		return old, nil, nil
	}
	spec, err := merge(old, p)
	if err != nil {
		return nil, nil, err
	}
	if string(spec) == "null" {
		spec = json.RawMessage("{}")
	}
	if same(spec, old) {
		return old, nil, nil
	}
	found, err := r.Schemas.Problems(r.info.Kind+"Spec", "/spec", spec)
	return spec, found, err
}

func (r resources) list(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	if q.values.Has("due") {
		return r.due(w, req, q)
	}
	var in postgres.ListQuery
	in.Selector = q.selector()
	in.Phases, in.NotPhases = q.phases()
	in.Name = q.name("name", r.Schemas)
	in.UpdatedSince = q.time("updatedSince")
	in.Deleted = q.flag("deleted")
	in.Limit, in.Continue = q.page()
	q.onlyWith("due", "view", "backoffNotReady", "backoffReady")
	if err := q.done(); err != nil {
		return err
	}
	out, err := r.Store.List(req.Context(), r.info, r.scope(req), in)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

// onlyWith refuses parameters that mean something only beside another one.
func (q *query) onlyWith(other string, names ...string) {
	for _, name := range names {
		if q.values.Has(name) {
			q.bad(name, "means something only together with "+other)
		}
	}
	q.known = append(q.known, other)
	q.known = append(q.known, names...)
}

// notWith refuses parameters that mean nothing beside another one.
func (q *query) notWith(other string, names ...string) {
	for _, name := range names {
		if q.values.Has(name) {
			q.bad(name, "cannot be given together with "+other)
		}
	}
	q.known = append(q.known, slices.Clone(names)...)
}

// required refuses the lack of a parameter.
func (q *query) required(given bool, name string, why ...string) {
	if !given {
		q.bad(name, strings.Join(append([]string{"is required"}, why...), " "))
	}
}
