package rest

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Options are what the handlers work with.
type Options struct {
	Store    Store
	Schemas  *schema.Set
	Contract []byte // the published OpenAPI document
	Metrics  *Metrics
	Log      *slog.Logger
	Timeout  time.Duration // of one request
}

// server holds what all handlers share.
type server struct{ Options }

// handler answers a request, or says why not.
type handler func(w http.ResponseWriter, r *http.Request) error

// Prefixes of every path: the canonical one, and the alias without.
var prefixes = [...]string{"/v1", ""}

// route is one path, below a prefix, with its methods.
type route struct {
	path    string
	methods map[string]handler
}

// New returns the handler of the whole API.
func New(o Options) http.Handler {
	s := &server{o}
	router := mux.NewRouter().SkipClean(true) // a path that needs cleaning is not ours; a redirect would lose the body
	for _, prefix := range prefixes {
		for _, rt := range s.routes() {
			path := prefix + rt.path
			o.Metrics.announce(path, rt.allowed())
			router.Path(path).Handler(s.wrap(path, rt.serve))
		}
	}
	o.Metrics.announce(unmatched, []string{http.MethodGet})
	router.NotFoundHandler = s.wrap(unmatched, func(http.ResponseWriter, *http.Request) error {
		return fleet.Errorf(fleet.NotFound, "there is nothing at this path; the paths are described at /openapi.yaml")
	})
	return router
}

// Routes lists every path below a prefix with its methods, for comparison with
// the contract.
func Routes() map[string][]string {
	out := map[string][]string{}
	for _, rt := range (&server{}).routes() {
		out[rt.path] = rt.allowed()
	}
	return out
}

func (s *server) routes() []route {
	routes := []route{{"/openapi.yaml", map[string]handler{http.MethodGet: s.contract}}}
	for _, t := range fleet.Types() {
		r := resources{s, t}
		base := "/" + string(t.Type)
		routes = append(routes,
			route{base, map[string]handler{http.MethodGet: r.list, http.MethodPost: r.create}},
			route{base + "/published", map[string]handler{http.MethodPost: r.published}}, // before {id}
			route{base + "/{id}", map[string]handler{http.MethodGet: r.get, http.MethodPatch: r.patch, http.MethodDelete: r.delete}},
			route{base + "/{id}/statuses", map[string]handler{http.MethodGet: r.reports, http.MethodPost: r.report}},
			route{base + "/{id}/statuses/{status_id}", map[string]handler{
				http.MethodGet: r.getReport, http.MethodPatch: r.patchReport, http.MethodDelete: r.deleteReport}},
		)
	}
	return routes
}

// allowed lists the route's methods, sorted.
func (rt route) allowed() []string {
	out := make([]string, 0, len(rt.methods))
	for m := range rt.methods {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

func (rt route) serve(w http.ResponseWriter, r *http.Request) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // the server leaves the body out
	}
	h, ok := rt.methods[method]
	if !ok {
		allowed := strings.Join(rt.allowed(), ", ")
		w.Header().Set("Allow", allowed)
		return fleet.Errorf(fleet.MethodNotAllowed, "this path knows %s", allowed)
	}
	return h(w, r)
}

// element is a part of the path, such as {id}. Ids are written in lower case.
func element(r *http.Request, name string) string { return strings.ToLower(mux.Vars(r)[name]) }

func (s *server) contract(w http.ResponseWriter, r *http.Request) error {
	if err := readQuery(r).done(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(s.Contract) // whoever asked has gone
	return nil
}
