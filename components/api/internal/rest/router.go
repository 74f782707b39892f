package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/manual"
	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Options are what the handlers work with.
type Options struct {
	Store    Store
	Gate     *auth.Gate // admits requests
	Schemas  *schema.Set
	Contract []byte // the published OpenAPI document
	Metrics  *Metrics
	Log      *slog.Logger
	Timeout  time.Duration // of one request
}

// server holds what all handlers share.
type server struct {
	Options
	manual manual.Manual
}

// handler answers a request, or says why not.
type handler func(w http.ResponseWriter, r *http.Request) error

// Prefixes of every path: the canonical one, and the alias without.
var prefixes = [...]string{"/v1", ""}

// operation is a handler and who may ask for it.
type operation struct {
	may    auth.Role
	answer handler
}

// route is one path, below a prefix, with its operations by method.
type route struct {
	path       string
	operations map[string]operation
}

// New returns the handler of the whole API. A route without a rule is an error.
func New(o Options) (http.Handler, error) {
	page, err := manual.New(o.Contract)
	if err != nil {
		return nil, err
	}
	s := &server{o, page}
	router := mux.NewRouter().SkipClean(true) // a path that needs cleaning is not ours; a redirect would lose the body
	routes := s.routes()
	if err := ruled(routes); err != nil {
		return nil, err
	}
	for _, prefix := range prefixes {
		for _, rt := range routes {
			path := prefix + rt.path
			o.Metrics.announce(path, rt.allowed())
			router.Path(path).Handler(s.wrap(path, s.serve(rt)))
		}
	}
	o.Metrics.announce(unmatched, []string{http.MethodGet})
	router.NotFoundHandler = s.wrap(unmatched, func(http.ResponseWriter, *http.Request) error {
		return fleet.Errorf(fleet.NotFound, "there is nothing at this path; the paths are described at /docs and /openapi.yaml")
	})
	return router, nil
}

// ruled says which operations nobody has a rule for.
func ruled(routes []route) error {
	var problems []error
	for _, rt := range routes {
		for _, method := range rt.allowed() {
			if rt.operations[method].may&(auth.Readers|auth.Public) == 0 {
				problems = append(problems, fmt.Errorf("%s %s: no rule says who may ask for it", method, rt.path))
			}
		}
	}
	return errors.Join(problems...)
}

// Rules lists the rule of every method of every path below a prefix, for
// comparison with the contract.
func Rules() map[string]map[string]auth.Role {
	out := map[string]map[string]auth.Role{}
	for _, rt := range (&server{}).routes() {
		out[rt.path] = map[string]auth.Role{}
		for method, op := range rt.operations {
			out[rt.path][method] = op.may
		}
	}
	return out
}

func (s *server) routes() []route {
	routes := []route{
		{"/openapi.yaml", map[string]operation{http.MethodGet: {auth.Public, s.contract}}},
		{"/docs", map[string]operation{http.MethodGet: {auth.Public, s.docs}}},
	}
	for _, t := range fleet.Types() {
		r := resources{s, t}
		base := "/" + string(t.Type)
		routes = append(routes,
			route{base, map[string]operation{
				http.MethodGet:  {auth.Readers, r.list},
				http.MethodPost: {auth.Editors, r.create},
			}},
			route{base + "/published", map[string]operation{ // before {id}
				http.MethodPost: {auth.Sentinel | auth.Admin | auth.Fleet, r.published},
			}},
			route{base + "/{id}", map[string]operation{
				http.MethodGet:    {auth.Readers, r.get},
				http.MethodPatch:  {auth.Editors, r.patch},
				http.MethodDelete: {auth.Editors, r.delete},
			}},
			route{base + "/{id}/reconcile", map[string]operation{
				http.MethodPost: {auth.Editors, r.reconcile},
			}},
			route{base + "/{id}/statuses", map[string]operation{
				http.MethodGet:  {auth.Readers, r.reports},
				http.MethodPost: {auth.Reporters, r.report},
			}},
			route{base + "/{id}/statuses/{status_id}", map[string]operation{
				http.MethodGet:    {auth.Readers, r.getReport},
				http.MethodPatch:  {auth.Reporters, r.patchReport},
				http.MethodDelete: {auth.Reporters, r.deleteReport},
			}},
		)
		for _, owned := range t.Type.Owned() {
			b := below{resources{s, owned}, t}
			routes = append(routes, route{base + "/{id}/" + string(owned.Type), map[string]operation{
				http.MethodGet:  {auth.Readers, b.list},
				http.MethodPost: {auth.Editors, b.create},
			}})
		}
	}
	routes = append(routes,
		route{"/adapters", map[string]operation{
			http.MethodGet: {auth.Readers | auth.Shared, s.adapters},
		}},
		route{"/adapters/{name}", map[string]operation{
			http.MethodGet:    {auth.Readers | auth.Shared, s.adapter},
			http.MethodPut:    {auth.Reporters | auth.Shared, s.register},
			http.MethodDelete: {auth.Admin | auth.Fleet, s.unregister},
		}},
	)
	routes = append(routes,
		route{"/audit", map[string]operation{http.MethodGet: {auth.Admin, s.audit}}},
		route{"/schemas/{type}", map[string]operation{http.MethodGet: {auth.Readers | auth.Shared, s.schema}}},
	)
	return append(routes, s.shardRoutes()...)
}

// allowed lists the route's methods, sorted.
func (rt route) allowed() []string { return slices.Sorted(maps.Keys(rt.operations)) }

// element is a part of the path, such as {id}. Ids are written in lower case;
// names are what they are.
func element(r *http.Request, name string) string {
	text := mux.Vars(r)[name]
	if strings.HasSuffix(name, "id") {
		return strings.ToLower(text)
	}
	return text
}

// named reads the name in the path, which must satisfy the named schema.
func (s *server) named(q *query, r *http.Request, schema string) string {
	name := element(r, "name")
	quoted, err := encode(name)
	if err == nil {
		err = s.Schemas.Judge(schema, "", quoted)
	}
	if err != nil {
		q.blame("name", err)
	}
	return name
}

func (s *server) contract(w http.ResponseWriter, r *http.Request) error {
	if err := readQuery(r).done(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(s.Contract) // whoever asked has gone
	return nil
}

// docs answers the contract as a page for people.
func (s *server) docs(w http.ResponseWriter, r *http.Request) error {
	if err := readQuery(r).done(); err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", s.manual.Policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	send(w, http.StatusOK, "text/html; charset=utf-8", s.manual.HTML)
	return nil
}
