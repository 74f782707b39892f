package decide

import (
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// MaxFailures is how often an event may fail before it is left to the next poll.
const MaxFailures = 3

// Input is all that a judgement depends on.
type Input struct {
	Item fleet.DueItem
	// Last is what this process remembers to have published for the resource;
	// nil if nothing.
	Last *Publication
	// Failures of this very event in this poll.
	Failures int
	Backoff  fleet.Backoff
	Now      time.Time // the clock that Last was remembered with
}

// Publication is an event of a resource, as this process remembers it.
type Publication struct {
	InFlight bool       // another event of the resource has not been confirmed yet
	Token    string     // of the due item that was published; "" if none was confirmed
	Heard    fleet.Time // that item's last transition: what had been reported by then
	Recorded bool       // the API knows of it; a due answer from before may not
	// Pace says when the resource would be due again if the API had recorded
	// everything that was published. Its times are this process's clock.
	Pace fleet.Schedule
}

// Action is what becomes of a due item.
type Action int

// Actions.
const (
	Publish Action = iota
	Skip           // nothing to do: its event is out
	Leave          // not now: the next poll finds it again
)

// Verdict is a judgement and the name of the check that gave it.
type Verdict struct {
	Action Action
	Check  string
	Reason fleet.Reason // with Publish: why the resource is due
}

// check judges an input, or leaves it to the checks after it.
type check struct {
	name  string
	judge func(Input) (Action, bool)
}

// chain is the order of judgement. What no check decides is published.
var chain = []check{
	{"failed alone", failedAlone},
	{"in flight", inFlight},
	{"woken again", wokenAgain},
	{"already recorded", alreadyRecorded},
	{"heard of since", heardOfSince},
	{"already published", alreadyPublished},
}

// Judge asks the checks in their order.
func Judge(in Input) Verdict {
	v := Verdict{Action: Publish, Check: "due"}
	for _, c := range chain {
		if action, decided := c.judge(in); decided {
			v = Verdict{Action: action, Check: c.name}
			break
		}
	}
	if v.Action == Publish {
		v.Reason = in.Item.Reason
	}
	return v
}

func failedAlone(in Input) (Action, bool) { return Leave, in.Failures >= MaxFailures }

func inFlight(in Input) (Action, bool) { return Skip, in.Last != nil && in.Last.InFlight }

// wokenAgain lets a wake-up pass that came after the event which is remembered:
// adapters may have handled that event before the wake-up's cause.
func wokenAgain(in Input) (Action, bool) {
	return Publish, in.Last != nil && in.Last.Token != "" &&
		in.Item.Reason != fleet.BackoffExpired && in.Item.Token != in.Last.Token
}

func alreadyRecorded(in Input) (Action, bool) { return Skip, in.Last != nil && in.Last.Recorded }

// heardOfSince lets an expired backoff pass that counts from a report which is
// newer than the event that is remembered.
func heardOfSince(in Input) (Action, bool) {
	return Publish, in.Last != nil && in.Last.Token != "" && in.Item.Reason == fleet.BackoffExpired &&
		in.Item.LastTransitionTime.After(in.Last.Heard.Time)
}

// alreadyPublished paces what the API does not know of as the API would.
func alreadyPublished(in Input) (Action, bool) {
	if in.Last == nil || in.Last.Token == "" {
		return Publish, false
	}
	_, due := in.Last.Pace.Due(in.Backoff, in.Now)
	return Skip, !due
}
