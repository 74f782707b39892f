package brokertest

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func golden(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../reconcile/testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func check(t *testing.T, e map[string]any) error {
	t.Helper()
	wire, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return compile(t).check(wire)
}

func TestTheGoldenEventSatisfiesTheContract(t *testing.T) {
	if err := check(t, golden(t)); err != nil {
		t.Fatal(err)
	}
}

func TestEveryResourceTypeHasAMessage(t *testing.T) {
	all := compile(t)
	for _, info := range fleet.Types() {
		if all[info.EventType] == nil {
			t.Errorf("the contract has no message of type %s", info.EventType)
		}
	}
	if len(all) != len(fleet.Types()) {
		t.Errorf("the contract has %d messages for %d resource types", len(all), len(fleet.Types()))
	}
}

func TestTheContractAllowsWhatALaterVersionMayAdd(t *testing.T) {
	e := golden(t)
	e["tracestate"] = "vendor=1"
	e["data"].(map[string]any)["since"] = "yesterday"
	if err := check(t, e); err != nil {
		t.Fatal(err)
	}
}

func TestTheContractRefuses(t *testing.T) {
	data := func(member string, value any) func(map[string]any) {
		return func(e map[string]any) { e["data"].(map[string]any)[member] = value }
	}
	for name, change := range map[string]func(map[string]any){
		"an event without an id":             func(e map[string]any) { delete(e, "id") },
		"an event without data":              func(e map[string]any) { delete(e, "data") },
		"a time without a zone":              func(e map[string]any) { e["time"] = "2026-01-02T03:04:05" },
		"a source of another product":        func(e map[string]any) { e["source"] = "elsewhere" },
		"a subject that is no UUID":          func(e map[string]any) { e["subject"] = "x" },
		"an older CloudEvents version":       func(e map[string]any) { e["specversion"] = "0.3" },
		"a traceparent that is none":         func(e map[string]any) { e["traceparent"] = "x" },
		"a type of another resource":         func(e map[string]any) { e["type"] = "com.redhat.hyperfleet.nodepool.reconcile.v1" },
		"a type that nobody knows":           func(e map[string]any) { e["type"] = "com.example.x" },
		"a resource type of another message": data("resourceType", "nodepools"),
		"a reason that nobody gives":         data("reason", "boredom"),
		"generation 0":                       data("generation", 0),
	} {
		t.Run(name, func(t *testing.T) {
			e := golden(t)
			change(e)
			if check(t, e) == nil {
				t.Fatal("accepted")
			}
		})
	}
}
