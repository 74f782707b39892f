package fleet

import (
	"math"
	"reflect"
	"testing"
	"time"
)

var (
	base    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	backoff = Backoff{NotReady: 10 * time.Second, Ready: 30 * time.Minute}
)

func TestScheduleDue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		s    Schedule
		now  time.Time
		want Reason
	}{
		{"nothing is due before its backoff", Schedule{Base: base}, base.Add(10*time.Second - 1), ""},
		{"the boundary of the backoff is due", Schedule{Base: base}, base.Add(10 * time.Second), BackoffExpired},
		{"Ready has its own backoff", Schedule{Base: base, Ready: true}, base.Add(30*time.Minute - 1), ""},
		{"Ready is due at its boundary", Schedule{Base: base, Ready: true}, base.Add(30 * time.Minute), BackoffExpired},
		{"woken is due at its moment", Schedule{Base: base, WakeAt: base, WakeReason: Requested}, base, Requested},
		{"woken is not due before its moment", Schedule{Base: base, WakeAt: base.Add(1), WakeReason: Retry}, base, ""},
		{"woken and expired is woken", Schedule{Base: base, WakeAt: base, WakeReason: Retry}, base.Add(time.Hour), Retry},
		{"parked is never due", Schedule{Base: base, WakeAt: base, WakeReason: Requested, Parked: true}, base.Add(time.Hour), ""},
		{"expired before a retry's moment is expired", Schedule{Base: base, WakeAt: base.Add(time.Hour), WakeReason: Retry}, base.Add(time.Minute), BackoffExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, due := test.s.Due(backoff, test.now)
			if got != test.want || due != (test.want != "") {
				t.Errorf("due %v, reason %q, want %q", due, got, test.want)
			}
		})
	}
}

func TestScheduleParkedStaysSoUntilResumed(t *testing.T) {
	t.Parallel()
	woken := Schedule{Base: base, Ready: true, Repeat: 3}.Wake(base, Retry).Wake(base.Add(time.Hour), Retry)
	parked := woken.Park()
	if want := (Schedule{Ready: true, Wakes: 2, Parked: true}); !reflect.DeepEqual(parked, want) {
		t.Fatalf("parked: %+v, want %+v", parked, want)
	}
	got := parked.Wake(base, Requested).Reported(false, base).Published(backoff, 3, true, base)
	if want := (Schedule{Wakes: 3, Parked: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("after a wake, a report and a recording: %+v, want %+v", got, want)
	}
	now := base.Add(time.Minute)
	if got, want := got.Resume(now, Deletion), (Schedule{WakeAt: now, WakeReason: Deletion, Wakes: 4, Base: now}); !reflect.DeepEqual(got, want) {
		t.Errorf("resumed: %+v, want %+v", got, want)
	}
	if got, want := woken.Resume(now, Requested), woken.Wake(now, Requested); !reflect.DeepEqual(got, want) {
		t.Errorf("what was not parked: %+v, want %+v", got, want)
	}
}

func TestScheduleWakeKeepsTheEarlier(t *testing.T) {
	t.Parallel()
	s := Schedule{}.Wake(base.Add(time.Minute), Retry)
	if got := s.Wake(base.Add(time.Hour), Retry); !got.WakeAt.Equal(s.WakeAt) || got.Wakes != 2 {
		t.Errorf("a later wake: %+v", got)
	}
	if got := s.Wake(base, Requested); !got.WakeAt.Equal(base) || got.WakeReason != Requested || got.Wakes != 2 {
		t.Errorf("an earlier wake: %+v", got)
	}
	s = Schedule{}.Wake(base, GenerationChanged).Wake(base, Requested)
	if s.WakeReason != GenerationChanged || s.Wakes != 2 {
		t.Errorf("two at once: %+v", s)
	}
}

func TestScheduleARetryBehindAnEarlierWakeIsNotLost(t *testing.T) {
	t.Parallel()
	minute, hour := base.Add(time.Minute), base.Add(time.Hour)
	want := Schedule{WakeAt: base, WakeReason: AdapterCompleted, Later: []time.Time{minute, hour}}
	for _, s := range []Schedule{
		Schedule{}.Wake(hour, Retry).Wake(minute, Retry).Wake(base, AdapterCompleted),
		Schedule{}.Wake(base, AdapterCompleted).Wake(minute, Retry).Wake(hour, Retry),
		Schedule{}.Wake(minute, Retry).Wake(base, AdapterCompleted).Wake(hour, Retry),
	} {
		if s.Wakes = 0; !reflect.DeepEqual(s, want) {
			t.Fatalf("woken: %+v", s)
		}
		for _, next := range []time.Time{minute, hour} {
			s = s.Published(backoff, s.Wakes, true, base)
			if !s.WakeAt.Equal(next) || s.WakeReason != Retry {
				t.Fatalf("after an event, before %v: %+v", next, s)
			}
		}
		if s = s.Published(backoff, s.Wakes, true, base); !s.WakeAt.IsZero() || s.Later != nil {
			t.Errorf("after the last: %+v", s)
		}
	}
	var many Schedule
	for i := range 3 * MaxLater {
		many = many.Wake(base.Add(time.Duration(i)), Retry).Wake(base.Add(time.Duration(i)), Retry)
	}
	if len(many.Later) != MaxLater || !many.Later[0].Equal(base.Add(1)) {
		t.Errorf("%d retries wait, the first at %v", len(many.Later), many.Later[0])
	}
}

func TestScheduleReportedTakesNoWakeAway(t *testing.T) {
	t.Parallel()
	s := Schedule{Repeat: 4}.Wake(base, Retry).Reported(true, base.Add(time.Second))
	if s.WakeAt.IsZero() || s.Repeat != 0 || !s.Ready || !s.Base.Equal(base.Add(time.Second)) {
		t.Errorf("after a report: %+v", s)
	}
}

func TestSchedulePublished(t *testing.T) {
	t.Parallel()
	woken := Schedule{Base: base}.Wake(base, Requested)
	for _, test := range []struct {
		name  string
		s     Schedule
		wakes int64
		woken bool
		clear bool
	}{
		{"a wake-up that the event served is cleared", woken, 1, true, true},
		{"a wake-up after the reading stays", woken.Wake(base, Retry), 1, true, false},
		{"a wake-up to come stays when the backoff made it due", woken, 1, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := test.s.Published(backoff, test.wakes, test.woken, base.Add(time.Minute))
			if got.WakeAt.IsZero() != test.clear || (got.WakeReason == "") != test.clear || got.Wakes != test.s.Wakes {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestScheduleSilentResourcesBackOffTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	s, now := Schedule{Base: base}, base
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 320, 320} {
		s = s.Published(backoff, 0, false, now)
		due := now.Add(want * time.Second)
		if _, early := s.Due(backoff, due.Add(-1)); early {
			t.Fatalf("due before %v s", want)
		}
		if _, ok := s.Due(backoff, due); !ok {
			t.Fatalf("not due after %v s", want)
		}
		now = due
	}
	if ready := (Schedule{Ready: true}).Published(backoff, 0, false, now); !ready.Base.Equal(now) || ready.Repeat != 0 {
		t.Errorf("Ready: %+v", ready)
	}
}

func TestScheduleLongestBackoffNeverComesBackAround(t *testing.T) {
	t.Parallel()
	s := Schedule{Repeat: MaxRepeat}.Published(Backoff{NotReady: math.MaxInt64 / 2}, 0, false, base)
	if s.Base.Before(base) {
		t.Errorf("base %v is before now", s.Base)
	}
}
