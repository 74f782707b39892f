package rest

import (
	"net/http"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// defaultTenant owns what is created by a principal that is bound to none and
// names none.
const defaultTenant = "default"

// serve answers a route: the method must be known, then whoever asks admitted.
func (s *server) serve(rt route) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // the server leaves the body out
		}
		op, ok := rt.operations[method]
		if !ok {
			allowed := strings.Join(rt.allowed(), ", ")
			w.Header().Set("Allow", allowed)
			return fleet.Errorf(fleet.MethodNotAllowed, "this path knows %s", allowed)
		}
		p, err := s.Gate.Admit(w.Header(), r, op.may)
		if err == nil {
			p, err = s.narrow(p, r, op.may)
		}
		if err != nil {
			return err
		}
		ctx := audit.NewContext(auth.NewContext(r.Context(), p), audit.Author{
			Principal: p.Name, RequestID: w.Header().Get("X-Request-Id"), Admin: p.User(),
		})
		return op.answer(w, r.WithContext(ctx))
	}
}

// narrow binds p to what the parameter tenant says; what p may not see anyway
// stays unseen. The handler's own reading of the query passes over it.
func (s *server) narrow(p auth.Principal, r *http.Request, rule auth.Role) (auth.Principal, error) {
	q := readQuery(r)
	if !q.values.Has("tenant") {
		return p, nil
	}
	if rule&(auth.Public|auth.Fleet|auth.Shared) != 0 {
		q.bad("tenant", "is not a parameter here: this is the same for all tenants")
	}
	tenant := q.name("tenant", s.Schemas)
	if len(q.problems) > 0 {
		return p, q.refuse()
	}
	return p.In(tenant), nil
}

// scope is what the principal may see.
func (s *server) scope(req *http.Request) tenant.Scope {
	p := auth.FromContext(req.Context())
	if p.AllTenants {
		return tenant.All()
	}
	return tenant.Only(p.Tenants...)
}

// tenant is where the principal creates.
func (r resources) tenant(req *http.Request) (string, error) {
	switch p := auth.FromContext(req.Context()); {
	case p.AllTenants:
		return defaultTenant, nil
	case len(p.Tenants) == 1:
		return p.Tenants[0], nil
	case len(p.Tenants) == 0:
		return "", fleet.Errorf(fleet.Forbidden, "you may not create anything in this tenant")
	}
	return "", &fleet.Error{Code: fleet.BadRequest, Detail: "you are bound to several tenants",
		Problems: []fleet.Problem{{Pointer: "tenant", Message: "is required: say which of them is to own it"}}}
}

// reportingAs refuses a principal that may not speak for the adapter.
func reportingAs(req *http.Request, adapter string) error {
	if !auth.FromContext(req.Context()).MayReportAs(adapter) {
		return fleet.Errorf(fleet.Forbidden, "you may not report as this adapter")
	}
	return nil
}
