package reconcile

import (
	"fmt"
	"mime"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Event returns the CloudEvent that carries e: a new id, the resource's id as
// its subject, and the given source and time. It fails if e is not one that
// Decode accepts.
func Event(source string, e fleet.ReconcileEvent, at fleet.Time) (event.Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return event.Event{}, fmt.Errorf("make an event id: %w", err)
	}
	info, _ := e.ResourceType.Info()
	data, err := json.Marshal(e)
	if err != nil {
		return event.Event{}, fmt.Errorf("write event data: %w", err)
	}
	// Not by the setters, and not read back: that cost more than all the rest.
	ce, media := event.Event{DataEncoded: data}, event.ApplicationJSON
	envelope := &event.EventContextV1{ID: id.String(), Type: info.EventType, Subject: &e.ResourceID,
		Time: &types.Timestamp{Time: at.Time}, DataContentType: &media}
	ce.Context = envelope
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if from := types.ParseURIRef(source); from == nil || source == "" {
		problem("source: must be a reference to who publishes, not %.80q", source)
	} else {
		envelope.Source = *from
	}
	if at.IsZero() {
		problem("time: must be set")
	}
	if !known(info.EventType) {
		problem("type: there is none for %.80q", e.ResourceType)
	}
	judge(ce, e, problem)
	if len(problems) > 0 {
		return event.Event{}, fmt.Errorf("make event: %s", strings.Join(problems, "; "))
	}
	return ce, nil
}

// Decode reads an event strictly. The error names every problem.
func Decode(ce event.Event) (fleet.ReconcileEvent, error) {
	var (
		e        fleet.ReconcileEvent
		problems []string
	)
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if ce.Context == nil {
		return e, fmt.Errorf("decode event: it is empty")
	}
	if v := ce.SpecVersion(); v != event.CloudEventsVersionV1 {
		problem("specversion: must be 1.0, not %.40q", v)
	}
	if ce.ID() == "" {
		problem("id: must not be empty")
	}
	if ce.Source() == "" {
		problem("source: must not be empty")
	}
	if ce.Time().IsZero() {
		problem("time: must be set")
	}
	if media, _, err := mime.ParseMediaType(ce.DataContentType()); err != nil || media != event.ApplicationJSON {
		problem("datacontenttype: must be application/json, not %.80q", ce.DataContentType())
	}
	if !known(ce.Type()) {
		problem("type: unknown: %.80q", ce.Type())
	}
	if err := json.Unmarshal(ce.Data(), &e); err != nil || jsontext.Value(ce.Data()).Kind() != '{' {
		problem("data: must be a JSON object with resourceType, resourceId, reason and generation")
	} else {
		judge(ce, e, problem)
	}
	if len(problems) > 0 {
		return fleet.ReconcileEvent{}, fmt.Errorf("decode event %.80q: %s", ce.ID(), strings.Join(problems, "; "))
	}
	return e, nil
}

// judge names what is wrong with the data itself, or against its envelope.
func judge(ce event.Event, e fleet.ReconcileEvent, problem func(string, ...any)) {
	if info, ok := e.ResourceType.Info(); !ok {
		problem("data.resourceType: unknown: %.80q", e.ResourceType)
	} else if known(ce.Type()) && ce.Type() != info.EventType {
		problem("data.resourceType: %s does not belong to type %s", e.ResourceType, ce.Type())
	}
	// Only the canonical form: the id becomes part of paths and names.
	if id, err := uuid.Parse(e.ResourceID); err != nil || id.String() != e.ResourceID {
		problem("data.resourceId: must be a UUID in lower case, not %.80q", e.ResourceID)
	}
	if ce.Subject() != e.ResourceID {
		problem("subject: must be data.resourceId, not %.80q", ce.Subject())
	}
	if e.Reason == "" {
		problem("data.reason: must not be empty")
	}
	if e.Generation < 1 {
		problem("data.generation: must be at least 1, not %d", e.Generation)
	}
}

func known(eventType string) bool {
	for _, info := range fleet.Types() {
		if info.EventType == eventType {
			return true
		}
	}
	return false
}
