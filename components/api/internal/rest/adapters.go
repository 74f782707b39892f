package rest

import (
	"net/http"
	"slices"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// register stores what one instance of an adapter says of itself.
func (s *server) register(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	name := s.named(q, req, "Name")
	if err := q.done(); err != nil {
		return err
	}
	if !auth.FromContext(req.Context()).MayRegisterAs(name) {
		return fleet.Errorf(fleet.Forbidden, "you may not register this adapter")
	}
	body, err := readBody(w, req, plainJSON)
	if err != nil {
		return err
	}
	var in fleet.NewAdapterInstance
	if err := s.Schemas.Decode("AdapterRegistration", body, &in); err != nil {
		return err
	}
	if slices.Contains(in.Dependencies, name) {
		return &fleet.Error{Code: fleet.Invalid, Detail: "an adapter cannot depend on itself",
			Problems: []fleet.Problem{{Pointer: "/dependencies", Message: "must not have the adapter's own name"}}}
	}
	out, err := s.Store.RegisterAdapter(req.Context(), name, in)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (s *server) adapter(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	name := s.named(q, req, "Name")
	if err := q.done(); err != nil {
		return err
	}
	out, err := s.Store.Adapter(req.Context(), name)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (s *server) adapters(w http.ResponseWriter, req *http.Request) error {
	if err := readQuery(req).done(); err != nil {
		return err
	}
	out, err := s.Store.Adapters(req.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (s *server) unregister(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	name := s.named(q, req, "Name")
	instance, given := q.text("instance")
	if given {
		quoted, err := encode(instance)
		if err == nil {
			err = s.Schemas.Judge("AdapterInstanceName", "", quoted)
		}
		if err != nil {
			q.blame("instance", err)
		}
	}
	if err := q.done(); err != nil {
		return err
	}
	if err := s.Store.UnregisterAdapter(req.Context(), name, instance); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
