package operator

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/engine"
	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// working is a shard at which nothing is wrong.
func working() observation {
	return observation{generation: 3, shard: engine.Status{Leading: true, Running: true, Shard: "region=us-east", Loop: shard.Status{
		Pending: 2, LastPoll: start, DividedAt: start, Division: fleet.ShardCoverage{Matched: 9}}}}
}

func TestConditionsNameTheFirstThingThatKeepsTheShardFromItsWork(t *testing.T) {
	gone := fleet.Errorf(fleet.Unavailable, "connection refused")
	for name, tt := range map[string]struct {
		change func(*observation)
		want   map[string]string
	}{
		"nothing is wrong": {func(*observation) {}, map[string]string{
			"Ready": "True Polling", "APIReachable": "True Answered", "BrokerConnected": "True Connected",
			"Leading": "True LeaseHeld", "Registered": "True Registered", "Overlapping": "False NothingShared"}},
		"the config is invalid and another runs": {func(o *observation) { o.invalid = errors.New("bad") }, map[string]string{"Ready": "False Invalid", "APIReachable": "True Answered"}},
		"the config is invalid and nothing runs": {func(o *observation) { o.invalid, o.shard = errors.New("bad"), engine.Status{Leading: true} },
			map[string]string{"Ready": "False Invalid", "APIReachable": "Unknown NotRunning", "Overlapping": "Unknown NotRunning"}},
		"there is no publisher": {func(o *observation) { o.shard = engine.Status{Leading: true, Problem: errors.New("no such broker")} },
			map[string]string{"Ready": "False CannotStart"}},
		"the first poll has not ended": {func(o *observation) { o.shard.Loop.API, o.shard.Loop.Registered = shard.ErrUnknown, shard.ErrUnknown },
			map[string]string{"Ready": "Unknown Starting", "APIReachable": "Unknown NotTriedYet", "Registered": "Unknown NotTriedYet"}},
		"the API is away, and so is the broker": {func(o *observation) { o.shard.Loop.API, o.shard.Broker = gone, errors.New("connection lost") },
			map[string]string{"Ready": "False APIUnreachable", "APIReachable": "False Unavailable", "BrokerConnected": "False Failed"}},
		"the broker is away":                        {func(o *observation) { o.shard.Broker = errors.New("connection lost") }, map[string]string{"Ready": "False BrokerUnreachable", "BrokerConnected": "False Failed"}},
		"the broker is there and took nothing":      {func(o *observation) { o.shard.Loop.Broker = errors.New("unroutable") }, map[string]string{"Ready": "False BrokerUnreachable", "BrokerConnected": "False Failed"}},
		"a broker that cannot tell got nothing yet": {func(o *observation) { o.shard.Broker, o.shard.Loop.Broker = shard.ErrUnknown, shard.ErrUnknown }, map[string]string{"Ready": "True Polling", "BrokerConnected": "Unknown NotTriedYet"}},
		"another holder is live":                    {func(o *observation) { o.shard.Loop.Registered = fleet.Errorf(fleet.ShardHeld, "held by b") }, map[string]string{"Ready": "True Polling", "Registered": "False ShardHeld"}},
		"another shard shares resources":            {func(o *observation) { o.shard.Loop.Division.Overlapping = 4 }, map[string]string{"Ready": "True Polling", "Overlapping": "True SharedResources"}},
		"the API has not told the coverage":         {func(o *observation) { o.shard.Loop.DividedAt = time.Time{} }, map[string]string{"Overlapping": "Unknown NotKnownYet"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := working()
			tt.change(&o)
			got := status(v1alpha1.SentinelConfigStatus{}, o, "pod-1", start)
			for typ, want := range tt.want {
				c := meta.FindStatusCondition(got.Conditions, typ)
				if c == nil || string(c.Status)+" "+c.Reason != want || c.Message == "" || c.ObservedGeneration != 3 {
					t.Errorf("%s is %+v, want %s", typ, c, want)
				}
			}
			if len(got.Conditions) != 6 {
				t.Errorf("%d conditions", len(got.Conditions))
			}
		})
	}
}

func TestAStatusCarriesNumbersOnlyOnceTheyAreKnown(t *testing.T) {
	got := status(v1alpha1.SentinelConfigStatus{}, working(), "pod-1", start)
	if *got.Matched != 9 || *got.Pending != 2 || !got.LastPollTime.Equal(&metav1.Time{Time: start}) || got.Shard != "region=us-east" || got.ObservedGeneration != 3 {
		t.Errorf("%+v", got)
	}
	o := working()
	o.shard.Shard, o.shard.Loop = "", shard.Status{}
	got = status(v1alpha1.SentinelConfigStatus{}, o, "pod-1", start)
	if got.Matched != nil || got.Pending != nil || got.LastPollTime != nil || got.Shard != "everything" {
		t.Errorf("before the first poll: %+v", got)
	}
	o.invalid = errors.New(strings.Repeat("x", 2*maxMessage))
	if c := meta.FindStatusCondition(status(got, o, "pod-1", start).Conditions, "Ready"); len(c.Message) > maxMessage+2 {
		t.Errorf("a message of %d bytes", len(c.Message))
	}
}

func TestWhatPeopleActOnIsToldAtOnceAndWhatMovesSeldom(t *testing.T) {
	told := status(v1alpha1.SentinelConfigStatus{}, working(), "pod-1", start)
	for name, tt := range map[string]struct {
		change func(*observation)
		age    time.Duration // from which on it is told
	}{
		"a generation was judged":   {func(o *observation) { o.generation++ }, 0},
		"another selector runs":     {func(o *observation) { o.shard.Shard = "region=eu-west" }, 0},
		"the API is away":           {func(o *observation) { o.shard.Loop.API = fleet.Errorf(fleet.Unavailable, "x") }, time.Second},
		"more is pending":           {func(o *observation) { o.shard.Loop.Pending++ }, 10 * time.Second},
		"more is matched":           {func(o *observation) { o.shard.Loop.Division.Matched++ }, 10 * time.Second},
		"there was only one poll":   {func(o *observation) { o.shard.Loop.LastPoll = start.Add(5 * time.Second) }, 30 * time.Second},
		"nothing whatever is new":   {func(*observation) {}, -1},
		"a poll in the same second": {func(o *observation) { o.shard.Loop.LastPoll = start.Add(time.Millisecond) }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			o := working()
			tt.change(&o)
			next := status(told, o, "pod-1", start.Add(time.Hour))
			if tt.age < 0 {
				if worth(told, next, 24*time.Hour) {
					t.Error("it is told")
				}
				return
			}
			if !worth(told, next, tt.age) || (tt.age > 0 && worth(told, next, tt.age-1)) {
				t.Errorf("it is not told from %s on", tt.age)
			}
		})
	}
}

func TestEventsTellTurnsAndNotPolls(t *testing.T) {
	fine := status(v1alpha1.SentinelConfigStatus{}, working(), "pod-1", start)
	away, held, shared := working(), working(), working()
	away.shard.Loop.API = fleet.Errorf(fleet.Unavailable, "x")
	held.shard.Loop.Registered = fleet.Errorf(fleet.ShardHeld, "x")
	shared.shard.Loop.Division.Overlapping = 1
	for name, tt := range map[string]struct {
		before v1alpha1.SentinelConfigStatus
		now    observation
		want   []string
	}{
		"a shard begins":          {v1alpha1.SentinelConfigStatus{}, working(), []string{"Normal Polling"}},
		"nothing happens":         {fine, working(), nil},
		"the API goes away":       {fine, away, []string{"Warning APIUnreachable"}},
		"the API comes back":      {status(fine, away, "pod-1", start), working(), []string{"Normal Polling"}},
		"another holder comes":    {fine, held, []string{"Warning ShardHeld"}},
		"and goes":                {status(fine, held, "pod-1", start), working(), []string{"Normal Registered"}},
		"another shard overlaps":  {fine, shared, []string{"Warning SharedResources"}},
		"another replica took it": {left(fine, "pod-1", start), working(), []string{"Normal Polling"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range news(tt.before, status(tt.before, tt.now, "pod-2", start)) {
				got = append(got, n.kind+" "+n.reason)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
