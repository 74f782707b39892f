package rehearsal

import (
	"context"
	"fmt"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Stage is the API and the runner of Jobs of one handler. It serves one event.
type Stage struct {
	subject jobspec.Subject
	known   []fleet.Adapter

	Steps []string     // what the handler did, in its order
	Job   *jobspec.Job // that it would have made; nil: none
}

// New returns a stage on which s and its owner are all there is, and known are
// the adapters that are registered.
func New(s jobspec.Subject, known []fleet.Adapter) *Stage { return &Stage{subject: s, known: known} }

func (s *Stage) note(format string, args ...any) {
	s.Steps = append(s.Steps, fmt.Sprintf(format, args...))
}

// Get returns the resource, or its owner.
func (s *Stage) Get(_ context.Context, typ fleet.ResourceType, id string) (fleet.Resource, error) {
	info, _ := s.subject.Type.Info()
	switch {
	case typ == s.subject.Type && id == s.subject.Resource.ID:
		s.note("read %s: generation %d, %s", jobspec.Noun(info), s.subject.Resource.Generation, s.subject.Resource.Status.Phase)
		return s.subject.Resource, nil
	case s.subject.Owner != nil && typ == info.Owner && id == s.subject.Owner.ID:
		s.note("read what it belongs to: %s %s, generation %d", typ, id, s.subject.Owner.Generation)
		return *s.subject.Owner, nil
	}
	return fleet.Resource{}, fleet.Errorf(fleet.NotFound, "%s %s is in none of the files", typ, id)
}

// Report notes what the adapter would have said.
func (s *Stage) Report(_ context.Context, _ fleet.ResourceType, _ string, r fleet.NewReport) (fleet.Report, error) {
	retry := ""
	if r.RetryAfter != "" {
		retry = ", again after " + r.RetryAfter
	}
	s.note("report %s, attempt %d%s: %s", r.Phase, r.Attempt, retry, r.Message)
	return fleet.Report{}, nil
}

// Adapters returns those that are known.
func (s *Stage) Adapters(context.Context) ([]fleet.Adapter, error) {
	s.note("read which adapters there are")
	return s.known, nil
}

// Ensure keeps the Job instead of making it.
func (s *Stage) Ensure(_ context.Context, j jobspec.Job) (bool, error) {
	s.note("create job %s and its input", j.Name)
	s.Job = &j
	return true, nil
}

// Cancel finds nothing to cancel.
func (s *Stage) Cancel(_ context.Context, adapter string, subject jobspec.Subject) (bool, error) {
	s.note("cancel jobs of %s for generations before %d: there is none", adapter, subject.Resource.Generation)
	return true, nil
}
