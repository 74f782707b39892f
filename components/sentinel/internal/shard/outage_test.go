package shard

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var errAway = errors.New("connection refused")

func TestAnAPIOutageNeverReadsAsNothingDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(3), &press{}
		p.fail = func(fleet.ReconcileEvent) error { return errAway }
		r := start(t, standard(), m, p)
		time.Sleep(2 * time.Second)
		if got := r.value(t, "hyperfleet_sentinel_resources_pending"); got != 3 {
			t.Fatalf("%v pending, want 3", got)
		}
		p.set(func(p *press) { p.fail = nil })
		m.set(func(m *model) { m.onDue = func() error { return fleet.Errorf(fleet.Unavailable, "away") } })
		errorsBefore := r.value(t, "hyperfleet_sentinel_poll_errors_total")
		time.Sleep(time.Minute)
		if got := r.value(t, "hyperfleet_sentinel_resources_pending"); got != 3 {
			t.Errorf("%v pending during the outage, want still 3", got)
		}
		if got := r.value(t, "hyperfleet_sentinel_poll_errors_total") - errorsBefore; got < 10 {
			t.Errorf("%v polls failed in a minute", got)
		}
		if got := r.value(t, "hyperfleet_sentinel_last_successful_poll_timestamp_seconds"); got != 0 {
			t.Errorf("last success %v, but there was none", got)
		}
		if got := r.value(t, "hyperfleet_sentinel_due_lag_seconds"); got < 60 {
			t.Errorf("due lag %v s after more than a minute without a poll that caught up", got)
		}
		m.set(func(m *model) { m.onDue = nil })
		time.Sleep(6 * time.Second)
		if p.confirmed() != 3 || r.value(t, "hyperfleet_sentinel_resources_pending") != 0 || r.value(t, "hyperfleet_sentinel_due_lag_seconds") > 6 {
			t.Errorf("after the outage: %d published", p.confirmed())
		}
	})
}

func TestABrokerOutageIsCountedAndNothingUnconfirmedIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		m, p := newModel().created(n), &press{}
		p.fail = func(fleet.ReconcileEvent) error { return errAway }
		r := start(t, standard(), m, p)
		time.Sleep(time.Minute)
		attempts := len(p.tries())
		if attempts > 14*(maxOutstanding+manyFailures) {
			t.Errorf("%d attempts in a minute: polls go on though the broker is away", attempts)
		}
		if m.recorded() > 0 || m.dueNow(r.Backoff) != n {
			t.Errorf("%d batches recorded, %d due", m.recorded(), m.dueNow(r.Backoff))
		}
		if got := r.value(t, "hyperfleet_sentinel_publish_errors_total"); int(got) != attempts || attempts == 0 {
			t.Errorf("%v errors counted of %d", got, attempts)
		}
		if got := r.value(t, "hyperfleet_sentinel_resources_pending"); got != n {
			t.Errorf("%v pending, want %d", got, n)
		}
		if got := r.value(t, "hyperfleet_sentinel_last_successful_poll_timestamp_seconds"); got != 0 {
			t.Errorf("a poll counts as successful")
		}
		p.set(func(p *press) { p.fail = nil })
		time.Sleep(7 * time.Second)
		if p.confirmed() != n || len(p.out()) != n || m.dueNow(r.Backoff) != 0 {
			t.Errorf("after the outage: %d events of %d resources, %d due", p.confirmed(), len(p.out()), m.dueNow(r.Backoff))
		}
	})
}

func TestABrokerThatHangsIsCountedAndEndsWithTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(5), &press{hangs: true}
		r := start(t, standard(), m, p)
		time.Sleep(25 * time.Second)
		if got := r.value(t, "hyperfleet_sentinel_publish_errors_total"); got != 10 {
			t.Errorf("%v errors, want two of each event by now", got)
		}
		if took := r.stop(); took > 10*time.Second {
			t.Errorf("Run took %s to end", took)
		}
	})
}

func TestAnEventThatFailsAloneIsLeftToTheNextPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(20), &press{}
		p.fail = func(e fleet.ReconcileEvent) error {
			if e.ResourceID == id(3) {
				return errAway
			}
			return nil
		}
		r := start(t, standard(), m, p)
		time.Sleep(4 * time.Second)
		if len(p.out()) != 19 {
			t.Fatalf("%d neighbours published, want 19", len(p.out()))
		}
		tries := slices.DeleteFunc(p.tries(), func(s sent) bool { return s.err == nil })
		if len(tries) != 3 {
			t.Fatalf("tried %d times in one poll, want 3", len(tries))
		}
		if tries[0].event.ID() != tries[2].event.ID() {
			t.Error("a retry is another event")
		}
		if got := r.value(t, "hyperfleet_sentinel_resources_pending"); got != 1 {
			t.Errorf("%v pending, want 1", got)
		}
		p.set(func(p *press) { p.fail = nil })
		time.Sleep(5 * time.Second)
		if len(p.out()[id(3)]) != 1 {
			t.Error("the next poll did not publish it")
		}
	})
}

func TestAFullMemoryStopsPublishingUntilSomethingIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		m, p := newModel().created(100), &press{}
		m.onPublished = func([]string) (error, bool) { return fleet.Errorf(fleet.Unavailable, "away"), false }
		r := start(t, standard(), m, p, func(s *Shard) { s.memory.limit = limit })
		time.Sleep(9 * time.Second)
		if n := len(p.out()); n != limit {
			t.Fatalf("%d resources published, want the %d that can be remembered", n, limit)
		}
		if r.value(t, "hyperfleet_sentinel_poll_errors_total") == 0 {
			t.Error("a full memory reads as a good poll")
		}
		m.set(func(m *model) { m.onPublished = nil })
		time.Sleep(3 * time.Minute)
		if n := len(p.out()); n != 100 || m.dueNow(fleet.Backoff{NotReady: time.Hour, Ready: time.Hour}) != 0 {
			t.Errorf("%d resources published in the end, want all", n)
		}
	})
}

func TestTheAPIMayAskForPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.onDue = func() error { return &fleet.Error{Code: fleet.Unavailable, RetryAfter: 40 * time.Second} }
		start(t, standard(), m, &press{})
		time.Sleep(39 * time.Second)
		if len(m.questions()) != 1 {
			t.Errorf("asked %d times within the time that the API asked for", len(m.questions()))
		}
		time.Sleep(7 * time.Second)
		if len(m.questions()) < 2 {
			t.Error("not asked again")
		}
	})
}

func TestAMemoryFullOfWhatIsRecordedIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := newModel().created(1000), &press{delay: 2 * time.Second}
		r := start(t, standard(), m, p, func(s *Shard) { s.memory.limit = maxOutstanding + 50 })
		time.Sleep(time.Minute)
		if n := len(p.out()); n != 1000 {
			t.Errorf("%d resources published, want all 1000", n)
		}
		if got := r.value(t, "hyperfleet_sentinel_poll_errors_total"); got != 0 {
			t.Errorf("%v polls failed", got)
		}
	})
}
