package rest

import (
	"encoding/json"
	"maps"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// patch is a merge patch over what users may change; what is left out is empty.
type patch struct {
	Labels    json.RawMessage `json:"labels"`
	Spec      json.RawMessage `json:"spec"`
	Paused    json.RawMessage `json:"paused"`
	Protected json.RawMessage `json:"deletion_protection"`
}

// isTrue is what a patch makes of a flag; null makes it false.
func isTrue(old bool, p json.RawMessage) bool {
	if len(p) == 0 {
		return old
	}
	return string(p) == "true"
}

// change is what a resource becomes. Only what changes is judged, so that a
// resource whose spec a newer schema refuses can still be labelled.
func (r resources) change(old fleet.Resource, p patch) (desired.State, error) {
	next := desired.State{Paused: isTrue(old.Paused, p.Paused), Protected: isTrue(old.Protected, p.Protected)}
	var inLabels, inSpec []fleet.Problem
	var err error
	if next.Labels, inLabels, err = r.changeLabels(old.Labels, p.Labels); err != nil {
		return next, err
	}
	if next.Spec, inSpec, err = r.changeSpec(old.Spec, p.Spec); err != nil {
		return next, err
	}
	if found := append(inLabels, inSpec...); len(found) > 0 {
		return next, &fleet.Error{Code: fleet.Invalid, Detail: "what the patch results in breaks a rule of the API's contract", Problems: found}
	}
	return next, nil
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
