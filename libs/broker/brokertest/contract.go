package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/openapi"
)

var contract = []theme{
	{name: "events keep to the published contract on the far side of the broker", test: keepsTheContract},
}

// reasons are all that a sentinel gives.
var reasons = []fleet.Reason{
	fleet.GenerationChanged, fleet.Requested, fleet.Deletion, fleet.AdapterCompleted, fleet.Retry, fleet.BackoffExpired,
}

// Golden returns an event of every resource type for every reason.
func Golden(t testing.TB) []event.Event {
	t.Helper()
	var all []event.Event
	for _, info := range fleet.Types() {
		for i, reason := range reasons {
			e, err := reconcile.Event("sentinel-operator/cluster-sentinel-us-east", fleet.ReconcileEvent{
				ResourceType: info.Type, ResourceID: fmt.Sprintf("01900000-0000-7000-8000-%012d", i), Reason: reason, Generation: int64(i + 1),
			}, fleet.At(time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC)))
			if err != nil {
				t.Fatal(err)
			}
			e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			all = append(all, e)
		}
	}
	return all
}

// OnTheWire checks the bytes in which a driver sends an event, as a consumer in
// another language gets them.
func OnTheWire(t testing.TB, wire []byte) {
	t.Helper()
	if err := compile(t).check(wire); err != nil {
		t.Fatalf("%s\n%v", wire, err)
	}
}

func keepsTheContract(t *testing.T, h *bench) {
	got := make(chan broker.Delivery, 100)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d
		return broker.Ack()
	})
	all := Golden(t)
	publish(t, h.Publisher(topic), all...)
	schemas := compile(t)
	for range all {
		d := next(t, got, "every event")
		wire, err := d.Event.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.check(wire); err != nil {
			t.Fatalf("%s\n%v", wire, err)
		}
		if _, err := reconcile.Decode(d.Event); err != nil {
			t.Fatal(err)
		}
	}
}

// payloads are the schemas of messages, by the type of event.
type payloads map[string]*jsonschema.Schema

// compile reads the messages of the published AsyncAPI document.
func compile(t testing.TB) payloads {
	t.Helper()
	text, err := yaml.YAMLToJSONStrict(openapi.Events())
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	const at = "test:///events"
	if err := c.AddResource(at, document); err != nil {
		t.Fatal(err)
	}
	all := payloads{}
	messages := document.(map[string]any)["components"].(map[string]any)["messages"].(map[string]any)
	for name, m := range messages {
		schema, err := c.Compile(at + "#/components/messages/" + name + "/payload")
		if err != nil {
			t.Fatal(err)
		}
		all[m.(map[string]any)["name"].(string)] = schema
	}
	return all
}

// check says what is wrong with an event in its wire form.
func (p payloads) check(wire []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(wire))
	if err != nil {
		return err
	}
	members, _ := v.(map[string]any)
	kind, _ := members["type"].(string)
	schema := p[kind]
	if schema == nil {
		return fmt.Errorf("the contract has no message of type %q", kind)
	}
	return schema.Validate(v)
}
