package handle

import (
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestNext(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	retry := fleet.At(at)
	for _, tc := range []struct {
		name string
		own  *fleet.AdapterStatus // of generation 2 unless it says otherwise
		at   time.Time
		want plan
	}{
		{"nothing reported begins attempt 1", nil, at, plan{start, 1, 0, 0}},
		{"a report of an older generation counts for nothing", &fleet.AdapterStatus{Phase: fleet.ReportComplete, ObservedGeneration: 1, Attempt: 4}, at, plan{start, 1, 0, 0}},
		{"a report of a newer generation waits for its event", &fleet.AdapterStatus{Phase: fleet.ReportRunning, ObservedGeneration: 3, Attempt: 1}, at, plan{}},
		{"Pending begins", &fleet.AdapterStatus{Phase: fleet.ReportPending, Attempt: 1}, at, plan{start, 1, 0, 0}},
		{"Pending before a later attempt begins that", &fleet.AdapterStatus{Phase: fleet.ReportPending, Attempt: 2}, at, plan{start, 2, 0, 0}},
		{"asked for again after attempt 4 begins attempt 5", &fleet.AdapterStatus{Phase: fleet.ReportPending, Attempt: 4, AttemptBase: 4}, at, plan{start, 5, 4, 0}},
		{"Running proceeds with the same attempt", &fleet.AdapterStatus{Phase: fleet.ReportRunning, Attempt: 2}, at, plan{proceed, 2, 0, 0}},
		{"a failed attempt rests until retry_at", &fleet.AdapterStatus{Phase: fleet.ReportRunning, Attempt: 1, RetryAt: &retry}, at.Add(-time.Microsecond), plan{rest, 1, 0, 0}},
		{"the moment of retry_at begins the next", &fleet.AdapterStatus{Phase: fleet.ReportRunning, Attempt: 1, RetryAt: &retry}, at, plan{start, 2, 0, 0}},
		{"Complete is final", &fleet.AdapterStatus{Phase: fleet.ReportComplete, Attempt: 1}, at, plan{rest, 1, 0, 0}},
		{"Failed after the last attempt is final", &fleet.AdapterStatus{Phase: fleet.ReportFailed, Attempt: 4}, at, plan{rest, 4, 0, 0}},
		{"Failed before the last attempt goes on", &fleet.AdapterStatus{Phase: fleet.ReportFailed, Attempt: 3}, at, plan{start, 4, 0, 0}},
		{"the last attempt counts from the base", &fleet.AdapterStatus{Phase: fleet.ReportFailed, Attempt: 7, AttemptBase: 4}, at, plan{start, 8, 4, 0}},
		{"Failed after the last from the base is final", &fleet.AdapterStatus{Phase: fleet.ReportFailed, Attempt: 8, AttemptBase: 4}, at, plan{rest, 8, 4, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := fleet.Resource{Generation: 2, Status: fleet.Status{Adapters: []fleet.AdapterStatus{{AdapterName: "other", ObservedGeneration: 2, Phase: fleet.ReportComplete}}}}
			if tc.own != nil {
				own := *tc.own
				own.AdapterName = "dns"
				if own.ObservedGeneration == 0 {
					own.ObservedGeneration = 2
				}
				r.Status.Adapters = append(r.Status.Adapters, own)
			}
			if got := next(r, "dns", rules{3, 0}, tc.at); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestNextChecksWhatWasDone(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	done, looked := fleet.At(at.Add(-time.Hour)), fleet.At(at.Add(-time.Minute))
	for _, tc := range []struct {
		name     string
		checked  *fleet.Time
		every    time.Duration
		deleting bool
		want     step
		moment   int64
	}{
		{"not without a time for it", nil, 0, false, rest, 0},
		{"not before its time", nil, time.Hour + time.Second, false, rest, 0},
		{"from its time on", nil, time.Hour, false, check, done.Unix()},
		{"and again after the last check", &looked, time.Minute, false, check, looked.Unix()},
		{"but not before that", &looked, time.Hour, false, rest, 0},
		{"not while it is deleted", nil, time.Hour, true, rest, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := fleet.Resource{Generation: 2, Status: fleet.Status{Adapters: []fleet.AdapterStatus{{AdapterName: "dns", ObservedGeneration: 2,
				Phase: fleet.ReportComplete, Attempt: 3, LastTransitionTime: done, CheckedAt: tc.checked}}}}
			if tc.deleting {
				r.DeletionAt = &looked
			}
			if got, want := next(r, "dns", rules{3, tc.every}, at), (plan{tc.want, 3, 0, tc.moment}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}
