package reconcile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	sample = fleet.ReconcileEvent{ResourceType: fleet.Clusters, ResourceID: "01900000-0000-7000-8000-000000000001",
		Reason: fleet.BackoffExpired, Generation: 3}
	sampleTime = fleet.At(time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC))
)

func build(t testing.TB) event.Event {
	t.Helper()
	ce, err := Event("sentinel-operator/cluster-sentinel-us-east", sample, sampleTime)
	if err != nil {
		t.Fatal(err)
	}
	return ce
}

func TestEventInItsWireForm(t *testing.T) {
	ce := build(t)
	if id, err := uuid.Parse(ce.ID()); err != nil || id.Version() != 7 {
		t.Fatalf("id %q is no uuid of version 7", ce.ID())
	}
	ce.SetID("01900000-0000-7000-8000-00000000000e")
	wire, err := ce.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, wire, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	const golden = "testdata/event.json"
	if *update {
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Fatalf("wire form (-want +got):\n%s", diff)
	}
	var back event.Event
	if err := json.Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(back); err != nil || got != sample || !back.Time().Equal(sampleTime.Time) {
		t.Fatalf("%+v %v %v", got, back.Time(), err)
	}
}

func TestEveryEventHasItsOwnID(t *testing.T) {
	if one, other := build(t).ID(), build(t).ID(); one == other {
		t.Fatal("two events share an id")
	}
}

func TestEventRefusesWhatNoAdapterWouldAccept(t *testing.T) {
	_, err := Event("", fleet.ReconcileEvent{ResourceType: "pods", ResourceID: "x"}, fleet.Time{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"source", "time", "type", "data.resourceType", "data.resourceId", "data.reason", "data.generation"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*event.Event)
		want   string
	}{
		"an empty event":                {func(e *event.Event) { *e = event.Event{} }, "empty"},
		"a type of another product":     {func(e *event.Event) { e.SetType("com.example.x") }, `type: unknown: "com.example.x"`},
		"an older CloudEvents version":  {func(e *event.Event) { e.SetSpecVersion("0.3") }, "specversion"},
		"no id":                         {func(e *event.Event) { e.Context.(*event.EventContextV1).ID = "" }, "id: must not be empty"},
		"no time":                       {func(e *event.Event) { e.SetTime(time.Time{}) }, "time: must be set"},
		"another content type":          {func(e *event.Event) { e.SetDataContentType("text/plain") }, "datacontenttype"},
		"no content type":               {func(e *event.Event) { e.Context.(*event.EventContextV1).DataContentType = nil }, "datacontenttype"},
		"a subject of another resource": {func(e *event.Event) { e.SetSubject("other") }, "subject: must be data.resourceId"},
		"no data":                       {func(e *event.Event) { e.DataEncoded = nil }, "data: must be a JSON object"},
		"null":                          {func(e *event.Event) { e.DataEncoded = []byte("null") }, "data: must be a JSON object"},
		"data that is a list":           {func(e *event.Event) { e.DataEncoded = []byte("[]") }, "data: must be a JSON object"},
		"data of a wrong type":          {func(e *event.Event) { e.DataEncoded = []byte(`{"generation":"3"}`) }, "data: must be a JSON object"},
		"a repeated member":             {func(e *event.Event) { e.DataEncoded = []byte(`{"reason":"a","reason":"b"}`) }, "data: must be a JSON object"},
		"an unknown resource type":      {edit("resourceType", "pods"), `data.resourceType: unknown: "pods"`},
		"an id that is no uuid":         {edit("resourceId", "../../x"), "data.resourceId"},
		"an id in upper case":           {edit("resourceId", "01900000-0000-7000-8000-00000000000A"), "data.resourceId"},
		"an id in braces":               {edit("resourceId", "{01900000-0000-7000-8000-000000000001}"), "data.resourceId"},
		"generation 0":                  {edit("generation", 0), "data.generation: must be at least 1, not 0"},
		"no reason":                     {edit("reason", ""), "data.reason"},
		"members whose names differ in case": {func(e *event.Event) {
			e.DataEncoded = bytes.ReplaceAll(e.DataEncoded, []byte("resourceId"), []byte("resourceID"))
		}, "data.resourceId"},
	} {
		t.Run(name, func(t *testing.T) {
			ce := build(t)
			c.change(&ce)
			got, err := Decode(ce)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%+v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	for name, change := range map[string]func(*event.Event){
		"a reason of a newer publisher":      edit("reason", "deletion"),
		"a data member of a newer publisher": edit("since", "yesterday"),
		"a content type with a parameter":    func(e *event.Event) { e.SetDataContentType("application/json; charset=utf-8") },
		"a trace parent, untouched":          func(e *event.Event) { e.SetExtension("traceparent", "00-abc-def-01") },
	} {
		t.Run(name, func(t *testing.T) {
			ce := build(t)
			change(&ce)
			before := ce.Clone()
			got, err := Decode(ce)
			if err != nil || got.ResourceID != sample.ResourceID {
				t.Fatalf("%+v, %v", got, err)
			}
			if diff := cmp.Diff(before.Extensions(), ce.Extensions()); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// edit sets one member of the data.
func edit(member string, value any) func(*event.Event) {
	return func(e *event.Event) {
		var m map[string]any
		if err := json.Unmarshal(e.DataEncoded, &m); err != nil {
			panic(err)
		}
		m[member] = value
		e.DataEncoded, _ = json.Marshal(m)
	}
}

func FuzzDecode(f *testing.F) {
	wire, err := os.ReadFile("testdata/event.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add(bytes.ReplaceAll(wire, []byte("1.0"), []byte("0.3")))
	f.Add([]byte(`{"specversion":"1.0","data_base64":"e30="}`))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var ce event.Event
		if err := ce.UnmarshalJSON(wire); err != nil {
			return
		}
		e, err := Decode(ce)
		if err != nil {
			if e != (fleet.ReconcileEvent{}) {
				t.Fatalf("refused, but gave %+v", e)
			}
			return
		}
		if _, err := uuid.Parse(e.ResourceID); err != nil || e.Generation < 1 || ce.Subject() != e.ResourceID {
			t.Fatalf("accepted %+v", e)
		}
		again, err := Event(ce.Source(), e, fleet.At(ce.Time()))
		if err != nil {
			t.Fatalf("what was accepted cannot be built: %v", err)
		}
		if back, err := Decode(again); err != nil || back != e {
			t.Fatalf("%+v became %+v, %v", e, back, err)
		}
	})
}
