package operator

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

// maxMessage is how long a condition's message may be, in bytes.
const maxMessage = 32 << 10

// State is what there is to tell of an AdapterConfig. An error says what is wrong.
type State struct {
	Generation    int64 // that was judged last
	Invalid       error // with everything that is wrong with it, Preconditions included
	Preconditions error // its expressions
	Runs          bool  // a generation of it runs, the last one that was valid
	Stopped       error // why none does, although it is valid
	Broker, API   error // as the one that runs finds them
}

// Status says s in conditions. Those of before keep their time where they stay
// what they were. changed is false if all of it is as it was.
func Status(before v1alpha1.AdapterConfigStatus, s State, now time.Time) (after v1alpha1.AdapterConfigStatus, changed bool) {
	after = v1alpha1.AdapterConfigStatus{ObservedGeneration: s.Generation, Conditions: slices.Clone(before.Conditions)}
	changed = before.ObservedGeneration != s.Generation
	for _, c := range []metav1.Condition{
		ready(s),
		condition(v1alpha1.ConditionPreconditionsValid, s.Preconditions, "Compiled", "Invalid"),
		ifRuns(s.Runs, condition(v1alpha1.ConditionBrokerConnected, s.Broker, "Connected", "Disconnected")),
		ifRuns(s.Runs, condition(v1alpha1.ConditionAPIReachable, s.API, "Answers", "Unreachable")),
	} {
		c.ObservedGeneration, c.LastTransitionTime = s.Generation, metav1.NewTime(now)
		changed = meta.SetStatusCondition(&after.Conditions, c) || changed
	}
	return after, changed
}

func ready(s State) metav1.Condition {
	switch {
	case s.Invalid != nil && s.Runs:
		c := condition(v1alpha1.ConditionReady, s.Invalid, "", "Invalid")
		c.Message = cut("the last valid generation goes on; this one: " + c.Message)
		return c
	case s.Invalid != nil:
		return condition(v1alpha1.ConditionReady, s.Invalid, "", "Invalid")
	case !s.Runs:
		return condition(v1alpha1.ConditionReady, s.Stopped, "Starting", "Stopped")
	case s.Broker != nil:
		return condition(v1alpha1.ConditionReady, s.Broker, "", "BrokerDisconnected")
	default:
		return condition(v1alpha1.ConditionReady, s.API, "Runs", "APIUnreachable")
	}
}

// condition is True with the first reason, or False with the second and what is wrong.
func condition(kind string, wrong error, good, bad string) metav1.Condition {
	if wrong != nil {
		return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: bad, Message: cut(wrong.Error())}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: good}
}

// ifRuns is c, if there is an adapter that knows.
func ifRuns(runs bool, c metav1.Condition) metav1.Condition {
	if runs {
		return c
	}
	return metav1.Condition{Type: c.Type, Status: metav1.ConditionUnknown, Reason: "NotRunning", Message: "no generation of it runs"}
}

func cut(text string) string { return text[:min(len(text), maxMessage)] }
