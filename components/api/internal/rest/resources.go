package rest

import (
	"net/http"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
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
	again, err := identify(req, body)
	if err != nil {
		return err
	}
	var in fleet.NewResource
	if err := r.Schemas.Decode(r.info.Kind+"Create", body, &in); err != nil {
		return err
	}
	out, err := r.store(req, in, again)
	if err != nil {
		return err
	}
	w.Header().Set("Location", out.Href)
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusCreated, out)
}

// store creates in the tenant of the principal, or in that of the owner.
func (r resources) store(req *http.Request, in fleet.NewResource, again once.Request) (fleet.Resource, error) {
	if r.info.Owner != "" {
		return r.storeIn(req, in, again)
	}
	tenant, err := r.tenant(req)
	if err != nil {
		return fleet.Resource{}, err
	}
	return r.Store.Create(req.Context(), r.info, tenant, in, again)
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
	body, err := out.AppendJSON(make([]byte, 0, 1024+len(out.Spec)+len(out.Status)))
	if err != nil {
		return err
	}
	setETag(w, out.ResourceVersion)
	send(w, http.StatusOK, plainJSON, body)
	return nil
}

func (r resources) delete(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	how := desired.Removal{Force: q.flag("force")}
	if err := q.done(); err != nil {
		return err
	}
	if how.Force && auth.FromContext(req.Context()).Role != auth.Admin {
		return fleet.Errorf(fleet.Forbidden, "only an admin may delete with force")
	}
	var err error
	if how.Check, err = precondition(req); err != nil {
		return err
	}
	out, err := r.Store.Delete(req.Context(), r.info, r.scope(req), element(req, "id"), how)
	if err != nil {
		return err
	}
	if out.DeletedAt != nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusAccepted, out)
}

// reconcile makes a resource due now.
func (r resources) reconcile(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	adapters := q.names("adapter", r.Schemas)
	if err := q.done(); err != nil {
		return err
	}
	if err := noBody(w, req); err != nil {
		return err
	}
	out, err := r.Store.Reconcile(req.Context(), r.info, r.scope(req), element(req, "id"), adapters)
	if err != nil {
		return err
	}
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusAccepted, out)
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
	out, err := r.Store.Patch(req.Context(), r.info, r.scope(req), element(req, "id"), func(old fleet.Resource) (desired.State, error) {
		if err := check(old); err != nil {
			return desired.State{}, err
		}
		return r.change(old, p)
	})
	if err != nil {
		return err
	}
	setETag(w, out.ResourceVersion)
	return answer(w, http.StatusOK, out)
}

func (r resources) list(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	if q.values.Has("due") {
		return r.due(w, req, q)
	}
	q.onlyWith("due", "view", "backoffNotReady", "backoffReady")
	var owner string
	if r.info.Owner != "" {
		owner = q.id("owner")
	}
	return r.page(w, req, q, owner)
}

// page answers one page of resources, of one owner unless that is empty.
func (r resources) page(w http.ResponseWriter, req *http.Request, q *query, owner string) error {
	in := resource.Query{Owner: owner}
	in.Selector = q.selector()
	in.Phases, in.NotPhases = q.phases()
	in.Name = q.name("name", r.Schemas)
	in.UpdatedSince = q.time("updatedSince")
	in.Deleted = q.flag("deleted")
	in.Count = q.flag("count")
	in.Limit, in.Continue = q.page()
	if err := q.done(); err != nil {
		return err
	}
	items := openStream(w, r.info.ListKind, r.Timeout)
	end, err := r.Store.List(req.Context(), r.info, r.scope(req), in, items.add)
	if err != nil {
		return err
	}
	return items.end(tail{end.Total, end.Continue, end.AsOf})
}
