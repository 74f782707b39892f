package broker

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Decode reads an event as it is on the wire: a CloudEvent in structured JSON.
func Decode(wire []byte) (event.Event, error) {
	var e event.Event
	err := e.UnmarshalJSON(wire)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return event.Event{}, fmt.Errorf("the message is no CloudEvent in structured JSON: %w", err)
	}
	return e, nil
}
