package rollup

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var (
	start    = fleet.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	later    = fleet.At(start.Add(time.Minute))
	required = []string{"validation", "dns", "placement"}
)

func said(name string, phase fleet.ReportPhase, generation int64) fleet.AdapterStatus {
	return fleet.AdapterStatus{AdapterName: name, Phase: phase, ObservedGeneration: generation, Message: name + " says"}
}

func TestPhase(t *testing.T) {
	t.Parallel()
	const p, r, c, f = fleet.ReportPending, fleet.ReportRunning, fleet.ReportComplete, fleet.ReportFailed
	type reports = []fleet.AdapterStatus
	for _, test := range []struct {
		name            string
		in              Input
		want            fleet.Phase
		reason, message string
	}{
		{"nothing reported is Pending", Input{}, fleet.Pending, "WaitingForAdapters", "validation: not reported, dns: not reported, placement: not reported"},
		{"only Pending is Pending", Input{Adapters: reports{said("dns", p, 2)}}, fleet.Pending, "WaitingForAdapters", "dns: Pending"},
		{"Running is Provisioning", Input{Adapters: reports{said("dns", r, 2)}}, fleet.Provisioning, "WaitingForAdapters", "dns: Running"},
		{"some Complete is Provisioning", Input{Adapters: reports{said("validation", c, 2), said("dns", r, 2)}}, fleet.Provisioning, "WaitingForAdapters", "dns: Running"},
		{"Complete of some alone is Provisioning", Input{Adapters: reports{said("validation", c, 2), said("placement", c, 2)}}, fleet.Provisioning, "WaitingForAdapters", "dns: not reported"},
		{"all Complete is Ready", Input{Adapters: reports{said("validation", c, 2), said("dns", c, 2), said("placement", c, 2)}}, fleet.Ready, "AdaptersComplete", "every required adapter is Complete"},
		{"any Failed is Failed", Input{Adapters: reports{said("validation", c, 2), said("dns", f, 2), said("placement", r, 2)}}, fleet.Failed, "AdapterFailed", "dns: dns says"},
		{"an older generation counts for nothing", Input{Adapters: reports{said("validation", c, 1), said("dns", f, 1), said("placement", c, 2)}}, fleet.Provisioning, "WaitingForAdapters", "validation: not reported, dns: not reported"},
		{"adapters that are not required count for nothing", Input{Adapters: reports{said("extra", f, 2), said("other", c, 2)}}, fleet.Pending, "WaitingForAdapters", "validation: not reported, dns: not reported, placement: not reported"},
		{"no required adapters is Ready", Input{Required: []string{}, Adapters: reports{said("extra", f, 2)}}, fleet.Ready, "AdaptersComplete", "every required adapter is Complete"},
		{"deletion waits for what is owned first", Input{Deletion: &Deletion{Participants: some, Owned: []string{"NodePool a", "NodePool b"}}, Adapters: reports{said("dns", f, 2)}}, fleet.Deleting, "WaitingForOwned", "NodePool a, NodePool b"},
		{"deletion waits for participants", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("validation", c, 1), said("extra", r, 2), said("other", p, 2)}}, fleet.Deleting, "WaitingForAdapters", "extra: Running, validation (not registered): not reported"},
		{"deletion names the failed", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("extra", f, 2), said("validation", r, 2)}}, fleet.Deleting, "AdapterFailed", "extra: extra says"},
		{"deletion that is over is still Deleting", Input{Deletion: &Deletion{}}, fleet.Deleting, "WaitingForAdapters", ""},
		{"deleted is Deleted", Input{Deleted: true, Adapters: reports{said("dns", f, 2)}}, fleet.Deleted, "Deleted", "the resource is deleted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := test.in
			in.Generation, in.Now = 2, start
			if in.Required == nil {
				in.Required = required
			}
			got := Status(in)
			c := got.Conditions[0]
			if got.Phase != test.want || c.Reason != test.reason || c.Message != test.message || (c.Status == "True") != (test.want == fleet.Ready) {
				t.Errorf("phase %s, condition %+v", got.Phase, c)
			}
		})
	}
}

// some take part in a deletion; validation is required, but did not register.
var some = []fleet.Adapter{{Name: "validation"}, {Name: "extra", Instances: make([]fleet.AdapterInstance, 1)}}

func TestDeletionIsOverWhenEveryParticipantIsComplete(t *testing.T) {
	t.Parallel()
	const p, c = fleet.ReportPending, fleet.ReportComplete
	type reports = []fleet.AdapterStatus
	for _, test := range []struct {
		name string
		in   Input
		want bool
	}{
		{"without a deletion it is not", Input{Adapters: reports{said("validation", c, 2), said("extra", c, 2)}}, false},
		{"without participants it is", Input{Deletion: &Deletion{}}, true},
		{"what is owned comes first", Input{Deletion: &Deletion{Owned: []string{"NodePool a"}}}, false},
		{"one is silent", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("extra", c, 2)}}, false},
		{"one is not at its end", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("validation", p, 2), said("extra", c, 2)}}, false},
		{"one was Complete before the deletion", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("validation", c, 1), said("extra", c, 2)}}, false},
		{"all are Complete", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("validation", c, 2), said("extra", c, 2)}}, true},
		{"others do not count", Input{Deletion: &Deletion{Participants: some}, Adapters: reports{said("validation", c, 2), said("extra", c, 2), said("other", p, 2)}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.in.Generation = 2
			if got := Over(test.in); got != test.want {
				t.Errorf("over: %v, want %v", got, test.want)
			}
		})
	}
}

func TestStatusIsShortAndInOrder(t *testing.T) {
	t.Parallel()
	long := said("placement", fleet.ReportRunning, 3)
	long.Message, long.Data = strings.Repeat("é", 200), json.RawMessage(`{"a":1}`)
	in := Input{
		Required: required, Generation: 3, Now: start,
		Adapters: []fleet.AdapterStatus{said("z", fleet.ReportPending, 1), said("a", fleet.ReportPending, 1), long, said("validation", fleet.ReportComplete, 2)},
	}
	got := Status(in)
	var names []string
	for _, a := range got.Adapters {
		names = append(names, a.AdapterName)
		if len(a.Message) > MaxMessage || !utf8.ValidString(a.Message) || a.Data != nil {
			t.Errorf("adapter %s is not short: %d bytes, data %s", a.AdapterName, len(a.Message), a.Data)
		}
	}
	if diff := cmp.Diff([]string{"validation", "placement", "a", "z"}, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if got.ObservedGeneration != 3 || len(long.Message) != 400 || in.Adapters[2].Data == nil {
		t.Errorf("observed generation %d; the input must stay as it is", got.ObservedGeneration)
	}
}

func TestMomentsMoveWithWhatTheyAreOf(t *testing.T) {
	t.Parallel()
	first := Status(Input{Required: required, Generation: 1, Now: start})
	in := Input{Required: required, Generation: 1, Previous: first, Now: later, Adapters: []fleet.AdapterStatus{said("dns", fleet.ReportPending, 1)}}
	if got := Status(in); got.LastTransitionTime != start {
		t.Error("nothing was reported and the phase stays, yet lastTransitionTime moved")
	}
	in.Reported = true
	got := Status(in)
	if got.LastTransitionTime != later || got.Conditions[0].LastTransitionTime != start {
		t.Errorf("after a report: %v, condition %v", got.LastTransitionTime, got.Conditions[0].LastTransitionTime)
	}
	in.Reported, in.Required = false, nil
	got = Status(in)
	if got.LastTransitionTime != later || got.Conditions[0].LastTransitionTime != later {
		t.Errorf("after the phase changed: %v, condition %v", got.LastTransitionTime, got.Conditions[0].LastTransitionTime)
	}
}

func TestCutNeverSplitsARune(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "short", strings.Repeat("a", 256), strings.Repeat("a", 257), "a" + strings.Repeat("é", 200), strings.Repeat("世", 100), "ab" + strings.Repeat("🦑", 90)} {
		got := Cut(s)
		if len(got) > MaxMessage || !utf8.ValidString(got) || !strings.HasPrefix(s, got) || (len(s) <= MaxMessage && got != s) || (len(s) > MaxMessage && len(got) < MaxMessage-3) {
			t.Errorf("%d bytes cut to %d", len(s), len(got))
		}
	}
}
