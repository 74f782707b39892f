package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestWhileTheAPIDoesNotRecordThisProcessPacesRepeatsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(1).silent(1), &press{}
		m.onPublished = func([]string) (error, bool) { return fleet.Errorf(fleet.Unavailable, "read only"), false }
		c := standard()
		c.PollInterval = time.Second
		began := time.Now()
		r := start(t, c, m, p)
		time.Sleep(200 * time.Second)
		for i := range 2 {
			var at []time.Duration
			for _, s := range p.out()[id(i)] {
				at = append(at, s.at.Sub(began))
			}
			// 10 s after the first event, then 20, 40, 80: as fleet.Schedule says.
			want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second, 150 * time.Second}
			ok := len(at) == len(want)
			for k := range min(len(at), len(want)) {
				ok = ok && at[k] >= want[k] && at[k] < want[k]+time.Duration(k+1)*2*time.Second
			}
			if !ok {
				t.Errorf("resource %d published after %v, want about %v", i, at, want)
			}
		}
		if got := r.value(t, "hyperfleet_sentinel_unrecorded_publications"); got != 2 {
			t.Errorf("%v unrecorded, want 2", got)
		}
		// A wake-up goes out all the same, and a report begins anew.
		m.wake(id(0), time.Now(), fleet.Requested)
		m.report(id(1), fleet.Provisioning)
		before0, before1 := len(p.out()[id(0)]), len(p.out()[id(1)])
		time.Sleep(2 * time.Second)
		if got := p.out()[id(0)]; len(got) != before0+1 {
			t.Errorf("the wake-up was swallowed")
		}
		time.Sleep(10 * time.Second)
		if got := p.out()[id(1)]; len(got) != before1+1 {
			t.Errorf("%d events after the report's backoff, want 1", len(got)-before1)
		}
		time.Sleep(11 * time.Second)
		if got := p.out()[id(1)]; len(got) != before1+2 {
			t.Errorf("%d events two backoffs after the report, want 2: its pace did not begin anew", len(got)-before1)
		}
		m.set(func(m *model) { m.onPublished = nil })
		time.Sleep(maxRecordWait + 2*time.Second)
		if m.dueNow(r.Backoff) != 0 || r.value(t, "hyperfleet_sentinel_unrecorded_publications") != 0 {
			t.Errorf("%d due after the API records again", m.dueNow(r.Backoff))
		}
	})
}

func TestATokenThatTheAPIRefusesKeepsNoOtherFromBeingRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(100), &press{}
		m.onPublished = func(tokens []string) (error, bool) {
			i := slices.IndexFunc(tokens, func(s string) bool { return strings.HasPrefix(s, id(42)) })
			if i < 0 {
				return nil, false
			}
			return &fleet.Error{Code: fleet.BadRequest, Detail: "tokens cannot be read", Problems: []fleet.Problem{
				{Pointer: fmt.Sprintf("/tokens/%d", i), Message: "it is not a token of a due list"}}}, false
		}
		r := start(t, standard(), m, p)
		time.Sleep(4 * time.Second)
		if n := m.dueNow(r.Backoff); n != 1 {
			t.Fatalf("%d are still due, want only the one that is refused", n)
		}
		if n := len(p.out()[id(42)]); n != 1 {
			t.Fatalf("the refused one was published %d times", n)
		}
		// Gone from the API, it is forgotten.
		m.set(func(m *model) { delete(m.rows, id(42)) })
		time.Sleep(30 * time.Second)
		if got := r.memory.recall(id(42)); got != nil {
			t.Errorf("still remembered: %+v", got)
		}
	})
}

func TestARefusalThatPointsAtNoTokenIsNotNow(t *testing.T) {
	for name, refusal := range map[string]*fleet.Error{
		"a token that does not allow this":     {Code: fleet.Forbidden, Detail: "role viewer may not"},
		"no token that holds":                  {Code: fleet.Unauthenticated, Detail: "the token has expired"},
		"too many requests":                    {Code: fleet.RateLimited, Detail: "slow down"},
		"a request that a proxy cannot read":   {Code: fleet.BadRequest, Detail: "answered 400"},
		"a parameter that the API cannot read": {Code: fleet.BadRequest, Problems: []fleet.Problem{{Pointer: "/backoffReady"}}},
		"a body too large for what is between": {Code: fleet.TooLarge, Detail: "answered 413"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := newModel().created(1000), &press{}
				calls := 0
				m.onPublished = func([]string) (error, bool) { calls++; return refusal, false }
				r := start(t, standard(), m, p)
				time.Sleep(time.Minute)
				m.set(func(m *model) {
					if calls < 2 || calls > 20 {
						t.Errorf("%d calls in a minute of refusals, want a few", calls)
					}
					m.onPublished = nil
				})
				time.Sleep(maxRecordWait + 2*time.Second)
				r.stop()
				if n := m.dueNow(fleet.Backoff{NotReady: time.Hour, Ready: time.Hour}); n != 0 {
					t.Errorf("%d publications were never recorded", n)
				}
			})
		})
	}
}

func TestWhatWaitsToBeRecordedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		m, p := newModel().created(n), &press{}
		m.onPublished = func([]string) (error, bool) { return fleet.Errorf(fleet.Unavailable, "away"), false }
		r := start(t, standard(), m, p)
		for range 50 {
			time.Sleep(6 * time.Second)
			for i := range n {
				m.wake(id(i), time.Now(), fleet.Requested)
			}
		}
		time.Sleep(6 * time.Second)
		if p.confirmed() < 20*n {
			t.Fatalf("only %d events: too few for this test", p.confirmed())
		}
		r.memory.mu.Lock()
		waiting := len(r.memory.queue)
		r.memory.mu.Unlock()
		if waiting > n {
			t.Errorf("%d records wait for %d resources", waiting, n)
		}
		m.set(func(m *model) { m.onPublished = nil })
		time.Sleep(maxRecordWait + 5*time.Second)
		if m.dueNow(fleet.Backoff{NotReady: time.Hour, Ready: time.Hour}) != 0 {
			t.Error("the latest tokens were not the ones recorded")
		}
	})
}
