package rest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// below is what belongs to one resource of type owner: the same handlers under
// the owner's path, whose {id} is the owner's.
type below struct {
	resources
	owner fleet.TypeInfo
}

func (b below) list(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	id := element(req, "id")
	// Whether it is there comes first: an empty list would hide a mistake.
	if _, err := b.Store.ResourceVersion(req.Context(), b.owner, b.scope(req), id, q.values.Get("deleted") == "true"); err != nil {
		return err
	}
	return b.page(w, req, q, id)
}

// storeIn creates in the owner that the path names, or else the body.
func (r resources) storeIn(req *http.Request, in fleet.NewResource, again once.Request) (fleet.Resource, error) {
	id, nested := element(req, "id"), element(req, "id") != ""
	switch given := in.Owner; {
	case given == nil && !nested:
		return fleet.Resource{}, ownerProblem("/owner", "is required here; or create it below the path of its owner")
	case given != nil && nested && strings.ToLower(given.ID) != id:
		return fleet.Resource{}, ownerProblem("/owner/id", "is another one than in the path; leave it out")
	case !nested:
		id = strings.ToLower(given.ID)
	}
	out, err := r.Store.CreateIn(req.Context(), r.info, r.scope(req), id, in, again)
	var e *fleet.Error
	if !nested && errors.As(err, &e) && e.Code == fleet.NotFound { // the path is there, what it names is not
		return out, ownerProblem("/owner/id", e.Detail)
	}
	return out, err
}

func ownerProblem(pointer, message string) error {
	return &fleet.Error{Code: fleet.Invalid, Detail: "the owner cannot be used", Problems: []fleet.Problem{{Pointer: pointer, Message: message}}}
}
