package rest

import (
	"net/http"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// due answers what a sentinel has to publish.
func (r resources) due(w http.ResponseWriter, req *http.Request, q *query) error {
	if !auth.FromContext(req.Context()).AllTenants {
		return fleet.Errorf(fleet.Forbidden, "what is due concerns the whole fleet; you are bound to tenants, or named one")
	}
	var in schedule.Query
	which := q.oneOf("due", "true", "woken", "expired")
	in.Woken, in.Expired = which != "expired", which != "woken"
	in.Selector = q.selector()
	var notReady, ready bool
	in.Backoff.NotReady, notReady = q.duration("backoffNotReady")
	in.Backoff.Ready, ready = q.duration("backoffReady")
	q.required(notReady, "backoffNotReady", "together with due")
	q.required(ready, "backoffReady", "together with due")
	q.required(q.oneOf("view", "brief") != "" || q.values.Has("view"), "view", "together with due: what is due is answered with view=brief")
	q.notWith("due", "phase", "name", "updatedSince", "deleted", "count")
	in.Limit, in.Continue = q.page()
	if err := q.done(); err != nil {
		return err
	}
	out, err := r.Store.Due(req.Context(), r.info, in)
	if err != nil {
		return err
	}
	send(w, http.StatusOK, "application/json", append(out.AppendJSON(make([]byte, 0, 512+256*len(out.Items))), '\n'))
	return nil
}

// published records what the broker confirmed.
func (r resources) published(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	var in fleet.Published
	if err := r.decode(w, req, "Published", &in, plainJSON); err != nil {
		return err
	}
	var b fleet.Backoff
	var err error
	if b.NotReady, err = schema.Duration(in.BackoffNotReady); err != nil {
		return err
	}
	if b.Ready, err = schema.Duration(in.BackoffReady); err != nil {
		return err
	}
	if err := r.Store.Published(req.Context(), r.info, in.Tokens, b); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
