package rollup

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// MaxMessage is the most bytes of a message that a resource's status carries.
const MaxMessage = 256

// Input is everything that a resource's status depends on.
type Input struct {
	Required   []string  // names of the adapters that must be Complete
	Generation int64     // current generation of the resource
	Deletion   *Deletion // nil unless it has started
	Deleted    bool
	Adapters   []fleet.AdapterStatus // every adapter's latest report, in any order
	Previous   fleet.Status          // zero on creation
	Reported   bool                  // an adapter has just reported
	Now        fleet.Time
}

// Status judges. Its lastTransitionTime is Now after a report and where the
// phase changed, and what it was otherwise; a condition's moves only with the
// condition's status. Adapters come in the order of Required, then by name,
// without data and with their messages cut.
func Status(in Input) fleet.Status {
	s := fleet.Status{
		Phase:              phase(in),
		LastTransitionTime: in.Previous.LastTransitionTime,
		Adapters:           short(in),
	}
	for _, a := range in.Adapters {
		s.ObservedGeneration = max(s.ObservedGeneration, a.ObservedGeneration)
	}
	if in.Reported || s.Phase != in.Previous.Phase {
		s.LastTransitionTime = in.Now
	}
	s.Conditions = []fleet.Condition{ready(in, s)}
	return s
}

func phase(in Input) fleet.Phase {
	switch {
	case in.Deleted:
		return fleet.Deleted
	case in.Deletion != nil:
		return fleet.Deleting
	}
	count := map[fleet.ReportPhase]int{}
	for _, a := range in.current(in.Required) {
		count[a.Phase]++
	}
	switch {
	case count[fleet.ReportFailed] > 0:
		return fleet.Failed
	case count[fleet.ReportComplete] == len(in.Required):
		return fleet.Ready
	case count[fleet.ReportRunning]+count[fleet.ReportComplete] > 0:
		return fleet.Provisioning
	default:
		return fleet.Pending
	}
}

// current returns the named adapters' reports on the current generation, in
// the order of names.
func (in Input) current(names []string) []fleet.AdapterStatus {
	var reports []fleet.AdapterStatus
	for _, name := range names {
		for _, a := range in.Adapters {
			if a.AdapterName == name && a.ObservedGeneration == in.Generation {
				reports = append(reports, a)
			}
		}
	}
	return reports
}

func short(in Input) []fleet.AdapterStatus {
	adapters := make([]fleet.AdapterStatus, len(in.Adapters))
	for i, a := range in.Adapters {
		a.Message, a.Data = Cut(a.Message), nil
		adapters[i] = a
	}
	rank := func(name string) int {
		if i := slices.Index(in.Required, name); i >= 0 {
			return i
		}
		return len(in.Required)
	}
	slices.SortFunc(adapters, func(a, b fleet.AdapterStatus) int {
		return cmp.Or(cmp.Compare(rank(a.AdapterName), rank(b.AdapterName)), cmp.Compare(a.AdapterName, b.AdapterName))
	})
	return adapters
}

// ready is the condition that the phase is Ready, with the reason why not.
func ready(in Input, s fleet.Status) fleet.Condition {
	c := fleet.Condition{
		Type: "Ready", Status: "False", ObservedGeneration: in.Generation, LastTransitionTime: in.Now,
	}
	switch s.Phase {
	case fleet.Ready:
		c.Status, c.Reason, c.Message = "True", "AdaptersComplete", "every required adapter is Complete"
	case fleet.Failed:
		c.Reason, c.Message = "AdapterFailed", failures(in)
	case fleet.Deleting:
		c.Reason, c.Message = in.Deletion.progress(in)
	case fleet.Deleted:
		c.Reason, c.Message = "Deleted", "the resource is deleted"
	default:
		c.Reason, c.Message = "WaitingForAdapters", waiting(in)
	}
	c.Message = Cut(c.Message)
	for _, p := range in.Previous.Conditions {
		if p.Type == c.Type && p.Status == c.Status {
			c.LastTransitionTime = p.LastTransitionTime
		}
	}
	return c
}

func failures(in Input) string {
	var failed []string
	for _, a := range in.current(in.Required) {
		if a.Phase == fleet.ReportFailed {
			failed = append(failed, strings.TrimSuffix(a.AdapterName+": "+a.Message, ": "))
		}
	}
	return strings.Join(failed, "; ")
}

// waiting names the adapters that are at work, or, when none is, those that
// have not reported.
func waiting(in Input) string {
	var working, silent []string
	reports := in.current(in.Required)
	for _, name := range in.Required {
		i := slices.IndexFunc(reports, func(a fleet.AdapterStatus) bool { return a.AdapterName == name })
		switch {
		case i < 0:
			silent = append(silent, name+": not reported")
		case reports[i].Phase != fleet.ReportComplete:
			working = append(working, name+": "+string(reports[i].Phase))
		}
	}
	if len(working) > 0 {
		return strings.Join(working, ", ")
	}
	return strings.Join(silent, ", ")
}

// Cut returns at most [MaxMessage] bytes of s, never a part of a rune.
func Cut(s string) string {
	if len(s) <= MaxMessage {
		return s
	}
	end := MaxMessage
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
