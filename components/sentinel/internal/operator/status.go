package operator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/engine"
	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// everything stands in a status for the selector that selects all.
const everything = "everything"

// observation is what the leader of a shard knows of it.
type observation struct {
	generation int64 // of the config that was judged
	invalid    error // what is wrong with it
	shard      engine.Status
}

// status is what is so, after what was told before.
func status(before v1alpha1.SentinelConfigStatus, o observation, replica string, now time.Time) v1alpha1.SentinelConfigStatus {
	next := *before.DeepCopy()
	next.ObservedGeneration = o.generation
	if o.shard.Running {
		if next.Shard = o.shard.Shard; next.Shard == "" {
			next.Shard = everything
		}
	}
	if loop := o.shard.Loop; o.shard.Running {
		if !loop.LastPoll.IsZero() {
			next.LastPollTime = &metav1.Time{Time: loop.LastPoll.Truncate(time.Second)}
			next.Pending = &loop.Pending
		}
		if !loop.DividedAt.IsZero() {
			next.Matched = &loop.Division.Matched
		}
	}
	for _, c := range conditions(o, replica) {
		c.ObservedGeneration, c.LastTransitionTime = o.generation, metav1.NewTime(now)
		meta.SetStatusCondition(&next.Conditions, c)
	}
	return next
}

// left is what is so once the replica has given the shard up.
func left(before v1alpha1.SentinelConfigStatus, replica string, now time.Time) v1alpha1.SentinelConfigStatus {
	next := *before.DeepCopy()
	for _, c := range []metav1.Condition{
		condition(v1alpha1.ConditionLeading, metav1.ConditionFalse, "Released", replica+" gave the shard up"),
		condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, "Released", "no sentinel runs the shard"),
	} {
		c.ObservedGeneration, c.LastTransitionTime = before.ObservedGeneration, metav1.NewTime(now)
		meta.SetStatusCondition(&next.Conditions, c)
	}
	return next
}

// conditions are all that can be said of a shard by who leads it.
func conditions(o observation, replica string) []metav1.Condition {
	loop := o.shard.Loop
	all := []metav1.Condition{ready(o), condition(v1alpha1.ConditionLeading, metav1.ConditionTrue, "LeaseHeld", replica+" runs the shard")}
	if !o.shard.Running {
		for _, typ := range []string{v1alpha1.ConditionAPIReachable, v1alpha1.ConditionBrokerConnected, v1alpha1.ConditionRegistered, v1alpha1.ConditionOverlapping} {
			all = append(all, condition(typ, metav1.ConditionUnknown, "NotRunning", "the shard does not run"))
		}
		return all
	}
	return append(all,
		outcome(v1alpha1.ConditionAPIReachable, loop.API, "Answered", "the API answers"),
		outcome(v1alpha1.ConditionBrokerConnected, brokerProblem(o.shard), "Connected", "the broker takes events"),
		outcome(v1alpha1.ConditionRegistered, loop.Registered, "Registered", "the API knows the shard and records what it publishes"),
		overlapping(loop))
}

// ready judges the whole: the first thing that keeps the shard from its work.
func ready(o observation) metav1.Condition {
	say := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionReady, status, reason, message)
	}
	broker := brokerProblem(o.shard)
	switch {
	case o.invalid != nil && o.shard.Running:
		return say(metav1.ConditionFalse, "Invalid", o.invalid.Error()+"; the last valid configuration goes on")
	case o.invalid != nil:
		return say(metav1.ConditionFalse, "Invalid", o.invalid.Error()+"; nothing runs")
	case o.shard.Problem != nil:
		return say(metav1.ConditionFalse, "CannotStart", o.shard.Problem.Error())
	case !o.shard.Running || errors.Is(o.shard.Loop.API, shard.ErrUnknown):
		return say(metav1.ConditionUnknown, "Starting", "the first poll has not ended")
	case o.shard.Loop.API != nil:
		return say(metav1.ConditionFalse, "APIUnreachable", o.shard.Loop.API.Error())
	case broker != nil && !errors.Is(broker, shard.ErrUnknown):
		return say(metav1.ConditionFalse, "BrokerUnreachable", broker.Error())
	}
	return say(metav1.ConditionTrue, "Polling", "the shard is polled, and what is due is published")
}

// brokerProblem is what the connection says, or else what became of the last events.
func brokerProblem(s engine.Status) error {
	if s.Broker != nil && !errors.Is(s.Broker, shard.ErrUnknown) {
		return s.Broker
	}
	if s.Broker == nil && errors.Is(s.Loop.Broker, shard.ErrUnknown) {
		return nil // connected, and nothing was to be published yet
	}
	return s.Loop.Broker
}

func overlapping(loop shard.Status) metav1.Condition {
	say := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionOverlapping, status, reason, message)
	}
	switch n := loop.Division.Overlapping; {
	case loop.DividedAt.IsZero():
		return say(metav1.ConditionUnknown, "NotKnownYet", "the API has not told how the shards divide the fleet")
	case n > 0:
		return say(metav1.ConditionTrue, "SharedResources", fmt.Sprintf("another live shard matches %d of these resources too; each is published by several", n))
	}
	return say(metav1.ConditionFalse, "NothingShared", "no other live shard matches these resources")
}

// outcome is the condition of something that was tried.
func outcome(typ string, err error, reason, message string) metav1.Condition {
	switch {
	case err == nil:
		return condition(typ, metav1.ConditionTrue, reason, message)
	case errors.Is(err, shard.ErrUnknown):
		return condition(typ, metav1.ConditionUnknown, "NotTriedYet", "it was not tried yet")
	}
	return condition(typ, metav1.ConditionFalse, reasonOf(err), err.Error())
}

// reasonOf names the kind of an error in the way of conditions: RateLimited.
func reasonOf(err error) string {
	var coded *fleet.Error
	if !errors.As(err, &coded) {
		return "Failed"
	}
	var out strings.Builder
	for word := range strings.SplitSeq(string(coded.Code), "_") {
		out.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return out.String()
}

// maxMessage is the most that a condition may say, in bytes.
const maxMessage = 1024

func condition(typ string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage-3], "") + "…"
	}
	return metav1.Condition{Type: typ, Status: status, Reason: reason, Message: message}
}

// Ages of the last status from which on less and less is worth another.
const (
	ageOfConditions = time.Second
	ageOfNumbers    = 10 * time.Second
	ageOfTimes      = 30 * time.Second
)

// worth says whether next, which is so now, is worth a write when before was
// told so long ago. What people act on is told at once, what only moves is not
// told at every poll.
func worth(before, next v1alpha1.SentinelConfigStatus, age time.Duration) bool {
	switch {
	case before.ObservedGeneration != next.ObservedGeneration, before.Shard != next.Shard:
		return true
	case !slices.EqualFunc(before.Conditions, next.Conditions, func(a, b metav1.Condition) bool {
		return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason
	}):
		return age >= ageOfConditions
	case !slices.EqualFunc(before.Conditions, next.Conditions, func(a, b metav1.Condition) bool { return a.Message == b.Message }),
		differ(before.Matched, next.Matched), differ(before.Pending, next.Pending):
		return age >= ageOfNumbers
	case !before.LastPollTime.Equal(next.LastPollTime):
		return age >= ageOfTimes
	}
	return false
}

func differ(a, b *int64) bool {
	return (a == nil) != (b == nil) || (a != nil && *a != *b)
}

// happened is an event of a SentinelConfig, for people.
type happened struct{ kind, reason, note string }

// news are the events between two statuses: each turn for the better or worse
// of what people act on.
func news(before, next v1alpha1.SentinelConfigStatus) []happened {
	var out []happened
	for _, typ := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionOverlapping, v1alpha1.ConditionRegistered} {
		c, was := meta.FindStatusCondition(next.Conditions, typ), meta.FindStatusCondition(before.Conditions, typ)
		if c == nil || c.Status == metav1.ConditionUnknown || (was != nil && was.Status == c.Status && was.Reason == c.Reason && was.ObservedGeneration == c.ObservedGeneration) {
			continue
		}
		good := (c.Status == metav1.ConditionTrue) != (typ == v1alpha1.ConditionOverlapping)
		if good && (was == nil || was.Status == metav1.ConditionUnknown) && typ != v1alpha1.ConditionReady {
			continue // nothing was wrong before
		}
		kind := corev1.EventTypeNormal
		if !good {
			kind = corev1.EventTypeWarning
		}
		out = append(out, happened{kind, c.Reason, c.Message})
	}
	return out
}
