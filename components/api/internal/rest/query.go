package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	maxLimit = 1000
	maxNames = 100
)

// query reads a request's parameters and gathers what is wrong with them.
// Each method names a parameter that the route knows; done refuses the rest.
type query struct {
	values   url.Values
	known    []string
	problems []fleet.Problem
}

func readQuery(r *http.Request) *query {
	q := &query{known: []string{"tenant"}} // which admission has read
	var err error
	if q.values, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		q.bad("", "the query cannot be read: "+strings.TrimPrefix(err.Error(), "invalid "))
	}
	return q
}

func (q *query) bad(name, message string) {
	q.problems = append(q.problems, fleet.Problem{Pointer: name, Message: message})
}

// text returns a parameter and whether it was given.
func (q *query) text(name string) (string, bool) {
	q.known = append(q.known, name)
	given := q.values[name]
	if len(given) > 1 {
		q.bad(name, "is given more than once")
	}
	if len(given) == 0 {
		return "", false
	}
	return given[0], true
}

func (q *query) oneOf(name string, allowed ...string) string {
	s, ok := q.text(name)
	if ok && !slices.Contains(allowed, s) {
		q.bad(name, "must be "+strings.Join(allowed, " or "))
	}
	return s
}

func (q *query) flag(name string) bool { return q.oneOf(name, "true", "false") == "true" }

func (q *query) duration(name string) (time.Duration, bool) {
	s, ok := q.text(name)
	if !ok {
		return 0, false
	}
	d, err := schema.Duration(s)
	if err != nil {
		q.bad(name, err.Error())
	}
	return d, true
}

func (q *query) time(name string) *time.Time {
	s, ok := q.text(name)
	if !ok {
		return nil
	}
	t, err := schema.Time(s)
	if err != nil {
		q.bad(name, err.Error())
	}
	return &t
}

// name reads a parameter that must satisfy the contract's schema Name.
func (q *query) name(name string, set *schema.Set) string {
	s, ok := q.text(name)
	if !ok {
		return ""
	}
	quoted, err := json.Marshal(s)
	if err == nil {
		err = set.Judge("Name", "", quoted)
	}
	if err != nil {
		q.blame(name, err)
	}
	return s
}

// resourceType reads a parameter that names a type; ok says that it is one.
func (q *query) resourceType(name string) (t fleet.TypeInfo, ok bool) {
	s, given := q.text(name)
	if !given {
		return t, false
	}
	if t, ok = fleet.ResourceType(s).Info(); !ok {
		q.bad(name, "must be "+strings.Join(typeNames(), " or "))
	}
	return t, ok
}

func typeNames() []string {
	var names []string
	for _, t := range fleet.Types() {
		names = append(names, string(t.Type))
	}
	return names
}

// names reads names that are separated by commas.
func (q *query) names(name string, set *schema.Set) []string {
	s, ok := q.text(name)
	if !ok {
		return nil
	}
	names := strings.Split(s, ",")
	if len(names) > maxNames {
		q.bad(name, fmt.Sprintf("must be at most %d names", maxNames))
		return nil
	}
	for _, n := range names {
		quoted, err := json.Marshal(n)
		if err == nil {
			err = set.Judge("Name", "", quoted)
		}
		if err != nil {
			q.blame(name, err)
		}
	}
	return names
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// id reads the id of a resource.
func (q *query) id(name string) string {
	s, ok := q.text(name)
	s = strings.ToLower(s)
	if ok && !uuid.MatchString(s) {
		q.bad(name, "must be the id of a resource")
	}
	return s
}

// page reads limit and continue.
func (q *query) page() (limit int, cont string) {
	s, ok := q.text("limit")
	if ok {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1 || n > maxLimit {
			q.bad("limit", fmt.Sprintf("must be a whole number from 1 to %d", maxLimit))
		}
		limit = int(n)
	}
	cont, _ = q.text("continue")
	return limit, cont
}

// selector reads the two spellings of a label selector.
func (q *query) selector() labels.Selector {
	expression, given := q.text("labelSelector")
	pairs, also := q.text("labels")
	if given && also {
		q.bad("labels", "cannot be given together with labelSelector; give one of them")
	}
	sel := labels.Everything()
	if given {
		s, err := selector.Parse(expression)
		if err != nil {
			q.blame("labelSelector", err)
		} else {
			sel = s
		}
	}
	if also {
		s, err := selector.ParsePairs(pairs)
		if err != nil {
			q.blame("labels", err)
		} else {
			sel = s
		}
	}
	return sel
}

// phases reads `Ready,Failed` or `!Ready,!Failed`.
func (q *query) phases() (phases []fleet.Phase, not bool) {
	s, ok := q.text("phase")
	if !ok {
		return nil, false
	}
	not = strings.HasPrefix(s, "!")
	for i, p := range strings.Split(s, ",") {
		name, negated := strings.CutPrefix(p, "!")
		if negated != not {
			q.bad("phase", "must have a leading ! at every phase or at none")
		}
		phase := fleet.Phase(name)
		if !slices.Contains(fleet.Phases(), phase) {
			q.bad("phase", fmt.Sprintf("entry %d is not one of %s", i+1, phaseNames()))
			continue
		}
		phases = append(phases, phase)
	}
	return phases, not
}

func phaseNames() string {
	var names []string
	for _, p := range fleet.Phases() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
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

// blame takes over the problems of err as the parameter's.
func (q *query) blame(name string, err error) {
	var e *fleet.Error
	if !errors.As(err, &e) || len(e.Problems) == 0 {
		q.bad(name, "cannot be read")
		return
	}
	for _, p := range e.Problems {
		q.bad(name, p.Message)
	}
}

// done refuses parameters that nobody asked for, and answers every problem.
func (q *query) done() error {
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			message := "is not a parameter here; there are none"
			if len(q.known) > 0 {
				message = "is not a parameter here; there are " + strings.Join(q.known, ", ")
			}
			q.bad(name, message)
		}
	}
	if len(q.problems) == 0 {
		return nil
	}
	return q.refuse()
}

func (q *query) refuse() error {
	slices.SortStableFunc(q.problems, func(a, b fleet.Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	q.problems = slices.Compact(q.problems)
	return &fleet.Error{Code: fleet.BadRequest, Detail: "the request has parameters that cannot be read", Problems: q.problems}
}
