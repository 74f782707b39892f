package decide

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var (
	now     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	backoff = fleet.Backoff{NotReady: 10 * time.Second, Ready: 30 * time.Minute}
	heard   = fleet.At(now.Add(-time.Hour))
)

// published is the memory of one event of an expired resource, so long ago.
func published(ago time.Duration, change func(*Publication)) *Publication {
	p := &Publication{Token: "t1", Heard: heard, Pace: fleet.Schedule{}.Published(backoff, 0, false, now.Add(-ago))}
	if change != nil {
		change(p)
	}
	return p
}

func TestJudge(t *testing.T) {
	expired := fleet.DueItem{ID: "c", Reason: fleet.BackoffExpired, Token: "t1", LastTransitionTime: heard}
	woken := fleet.DueItem{ID: "c", Reason: fleet.GenerationChanged, Token: "t1", LastTransitionTime: heard}
	wokenAgain, heardSince := woken, expired
	wokenAgain.Token = "t2"
	heardSince.LastTransitionTime = fleet.At(heard.Add(time.Second))
	expiredOther := expired
	expiredOther.Token = "t2"

	for name, c := range map[string]struct {
		in    Input
		want  Action
		check string
	}{
		"a due resource that this process knows nothing of is published": {Input{Item: expired}, Publish, "due"},
		"a woken one as well":                                       {Input{Item: woken}, Publish, "due"},
		"an event that failed twice is tried again":                 {Input{Item: woken, Failures: 2}, Publish, "due"},
		"an event that failed three times is left to the next poll": {Input{Item: woken, Failures: 3}, Leave, "failed alone"},
		"a resource with an event in flight is skipped":             {Input{Item: expired, Last: &Publication{InFlight: true}}, Skip, "in flight"},
		"a wake-up does not overtake an event in flight":            {Input{Item: wokenAgain, Last: published(0, func(p *Publication) { p.InFlight = true })}, Skip, "in flight"},
		"published a moment ago and not recorded is skipped":        {Input{Item: expired, Last: published(time.Second, nil)}, Skip, "already published"},
		"the same wake-up is not published twice":                   {Input{Item: woken, Last: published(time.Second, nil)}, Skip, "already published"},
		"a wake-up after the event is published at once":            {Input{Item: wokenAgain, Last: published(0, nil)}, Publish, "woken again"},
		"a wake-up after a recorded event is published at once":     {Input{Item: wokenAgain, Last: published(0, func(p *Publication) { p.Recorded = true })}, Publish, "woken again"},
		"another token alone is no wake-up":                         {Input{Item: expiredOther, Last: published(time.Second, nil)}, Skip, "already published"},
		"what was recorded after the due answer is skipped":         {Input{Item: expired, Last: published(time.Hour, func(p *Publication) { p.Recorded = true })}, Skip, "already recorded"},
		"an expired backoff after a newer report is published":      {Input{Item: heardSince, Last: published(time.Second, nil)}, Publish, "heard of since"},
		"one moment before a backoff it is skipped":                 {Input{Item: expired, Last: published(10*time.Second-1, nil)}, Skip, "already published"},
		"after a backoff without recording it is published again":   {Input{Item: expired, Last: published(10*time.Second, nil)}, Publish, "due"},
		"after the second event the pace is twice as slow": {Input{Item: expired, Last: published(0, func(p *Publication) {
			p.Pace = fleet.Schedule{Repeat: 1}.Published(backoff, 0, false, now.Add(-19*time.Second))
		})}, Skip, "already published"},
		"a Ready resource is paced by the backoff for Ready": {Input{Item: expired, Last: published(0, func(p *Publication) {
			p.Pace = fleet.Schedule{Ready: true}.Published(backoff, 0, false, now.Add(-29*time.Minute))
		})}, Skip, "already published"},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.Now, c.in.Backoff = now, backoff
			got := Judge(c.in)
			if got.Action != c.want || got.Check != c.check {
				t.Fatalf("%+v, want action %d by %q", got, c.want, c.check)
			}
			if wantReason := c.want == Publish; (got.Reason == c.in.Item.Reason) != wantReason {
				t.Fatalf("reason %q", got.Reason)
			}
		})
	}
}

func TestDivide(t *testing.T) {
	for name, c := range map[string]struct {
		budget, woken, expired int
		expiredFirst           bool
		wantWoken, wantExpired int
	}{
		"enough for all":                              {100, 3, 4, false, 3, 4},
		"each gets half":                              {10, 100, 100, false, 5, 5},
		"the odd one goes to the woken":               {7, 100, 100, false, 4, 3},
		"the odd one goes to the expired":             {7, 100, 100, true, 3, 4},
		"what the woken do not need, the expired get": {10, 2, 100, false, 2, 8},
		"what the expired do not need, the woken get": {10, 100, 1, true, 9, 1},
		"nothing to share":                            {0, 5, 5, false, 0, 0},
		"nothing due":                                 {10, 0, 0, true, 0, 0},
		"a budget of one takes turns: woken":          {1, 5, 5, false, 1, 0},
		"a budget of one takes turns: expired":        {1, 5, 5, true, 0, 1},
		"the turn is not wasted":                      {1, 5, 0, true, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, e := Divide(c.budget, c.woken, c.expired, c.expiredFirst)
			if w != c.wantWoken || e != c.wantExpired {
				t.Fatalf("%d and %d, want %d and %d", w, e, c.wantWoken, c.wantExpired)
			}
		})
	}
}

func TestDivideWastesNothingAndStarvesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.IntRange(0, 3000).Draw(t, "budget")
		woken := rapid.IntRange(0, 2000).Draw(t, "woken")
		expired := rapid.IntRange(0, 2000).Draw(t, "expired")
		w, e := Divide(budget, woken, expired, rapid.Bool().Draw(t, "expiredFirst"))
		if w < 0 || e < 0 || w > woken || e > expired || w+e != min(budget, woken+expired) {
			t.Fatalf("%d and %d", w, e)
		}
		if w < min(woken, budget/2) || e < min(expired, budget/2) {
			t.Fatalf("%d and %d: one starves", w, e)
		}
	})
}
