package rest

import (
	"net/http"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func (r resources) report(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	var in fleet.NewReport
	if err := r.decode(w, req, "ReportCreate", &in, plainJSON); err != nil {
		return err
	}
	if err := reportingAs(req, in.AdapterName); err != nil {
		return err
	}
	id := element(req, "id")
	out, err := r.Store.Report(req.Context(), r.info, r.scope(req), id, in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/"+string(r.info.Type)+"/"+id+"/statuses/"+out.ID)
	return answer(w, http.StatusCreated, out)
}

func (r resources) reports(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	var in postgres.ReportQuery
	in.Adapter = q.name("adapter", r.Schemas)
	in.Deleted = q.flag("deleted")
	in.Limit, in.Continue = q.page()
	if err := q.done(); err != nil {
		return err
	}
	entries := openStream(w, "StatusList", r.Timeout)
	end, err := r.Store.Reports(req.Context(), r.info, r.scope(req), element(req, "id"), in, func(e fleet.Report) error { return entries.encode(e) })
	if err != nil {
		return err
	}
	return entries.end(tail{Continue: end.Continue, AsOf: end.AsOf})
}

func (r resources) getReport(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	deleted := q.flag("deleted")
	if err := q.done(); err != nil {
		return err
	}
	out, err := r.Store.GetReport(req.Context(), r.info, r.scope(req), element(req, "id"), element(req, "status_id"), deleted)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (r resources) patchReport(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	var in fleet.ReportPatch
	if err := r.decode(w, req, "ReportPatch", &in, mergePatch, plainJSON); err != nil {
		return err
	}
	if err := r.own(req); err != nil {
		return err
	}
	out, err := r.Store.PatchReport(req.Context(), r.info, r.scope(req), element(req, "id"), element(req, "status_id"), in)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (r resources) deleteReport(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	if err := r.own(req); err != nil {
		return err
	}
	if err := r.Store.DeleteReport(req.Context(), r.info, r.scope(req), element(req, "id"), element(req, "status_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// own refuses a principal that may not speak for the adapter of the entry. An
// entry's adapter never changes, so that reading it first is enough.
func (r resources) own(req *http.Request) error {
	if auth.FromContext(req.Context()).Role == auth.Admin {
		return nil
	}
	entry, err := r.Store.GetReport(req.Context(), r.info, r.scope(req), element(req, "id"), element(req, "status_id"), false)
	if err != nil {
		return err
	}
	return reportingAs(req, entry.AdapterName)
}
