package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func message(id, subject string, settled chan<- string) Message {
	e := event.New()
	e.SetID(id)
	e.SetSubject(subject)
	return Message{Delivery: broker.Delivery{Event: e, Attempt: 1}, Settle: func(o broker.Outcome) {
		settled <- fmt.Sprintf("%s %d %s", id, o.Kind, o.Reason)
	}}
}

func TestARunThatStopsPassesItsTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, settled := NewQueue(), make(chan string, 1)
		ack := func(context.Context, broker.Delivery) broker.Outcome { return broker.Ack() }
		first, stopFirst := context.WithCancel(t.Context())
		second, stopSecond := context.WithCancel(t.Context())
		defer stopSecond()
		go Run(first, q, ack, Config{Concurrency: 1})
		synctest.Wait()
		go Run(second, q, ack, Config{Concurrency: 1})
		synctest.Wait()
		q.Put(message("a", "s", settled)) // wakes the first, which finds that it must stop
		stopFirst()
		synctest.Wait()
		if len(settled) != 1 {
			t.Fatal("the message waits though a Run is free")
		}
	})
}

func TestAHandlersContextEndsAfterTheGraceAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, settled := NewQueue(), make(chan string, 1)
		q.Put(message("a", "s", settled))
		ctx, stop := context.WithCancel(t.Context())
		var lasted time.Duration
		time.AfterFunc(time.Minute, stop)
		begun := time.Now()
		Run(ctx, q, func(ctx context.Context, _ broker.Delivery) broker.Outcome {
			<-ctx.Done()
			lasted = time.Since(begun)
			return broker.Retry(0)
		}, Config{Concurrency: 1, Grace: 3 * time.Second})
		if lasted != time.Minute+3*time.Second || time.Since(begun) != lasted {
			t.Fatalf("the handler's context lasted %s, Run %s", lasted, time.Since(begun))
		}
		if got := <-settled; got != "a 0 " {
			t.Fatalf("settled %q", got)
		}
	})
}

func TestManyMessagesOfOneSubjectKeepNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, settled := NewQueue(), make(chan string, 1000)
		for i := range 500 {
			q.Put(message(fmt.Sprint("hot-", i), "hot", settled))
		}
		q.Put(message("other", "other", settled))
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer stop()
		Run(ctx, q, func(context.Context, broker.Delivery) broker.Outcome {
			time.Sleep(time.Second)
			return broker.Ack()
		}, Config{Concurrency: 2})
		if len(settled) != 2 {
			t.Fatalf("%d messages settled, want one of each subject", len(settled))
		}
	})
}

func TestMessagesWithoutASubjectDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, settled := NewQueue(), make(chan string, 3)
		for i := range 3 {
			q.Put(message(fmt.Sprint(i), "", settled))
		}
		ctx, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer stop()
		Run(ctx, q, func(context.Context, broker.Delivery) broker.Outcome {
			time.Sleep(time.Second)
			return broker.Ack()
		}, Config{Concurrency: 3})
		if len(settled) != 3 {
			t.Fatalf("%d settled, want all three at once", len(settled))
		}
	})
}

func TestPacerSlowsDownToItsBound(t *testing.T) {
	now := time.Now()
	p := pacer{first: 100 * time.Millisecond, most: time.Second}
	paused := func(probe bool) ended { return ended{broker.Pause("away"), probe} }
	p.observe(paused(false), now)
	p.observe(paused(false), now) // was out as well: the same outage, not a longer one
	for _, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		most *= time.Millisecond
		wait, open := p.gate(0, 4, now)
		if open || wait < most/2 || wait > most {
			t.Fatalf("wait %s (open %t), want between %s and %s", wait, open, most/2, most)
		}
		now = now.Add(wait)
		if _, open := p.gate(0, 4, now); !open {
			t.Fatal("closed though the wait is over")
		}
		if _, open := p.gate(1, 4, now); open {
			t.Fatal("open for a second one during a pause")
		}
		p.observe(paused(true), now)
	}
	p.observe(ended{broker.Retry(0), true}, now)
	if _, open := p.gate(3, 4, now); !open {
		t.Fatal("closed though something else than a pause was seen")
	}
	p.observe(paused(false), now)
	if wait, _ := p.gate(0, 4, now); wait > 100*time.Millisecond {
		t.Fatalf("a new pause begins with %s", wait)
	}
}

func TestWithdrawnMessagesAreNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, settled := NewQueue(), make(chan string, 10)
		put := func(id, subject string, origin int) {
			m := message(id, subject, settled)
			m.Origin = origin
			q.Put(m)
		}
		put("out", "s", 1)
		begun, release := make(chan struct{}), make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go Run(ctx, q, func(_ context.Context, d broker.Delivery) broker.Outcome {
			if d.Event.ID() == "out" {
				close(begun)
				<-release
			}
			return broker.Ack()
		}, Config{Concurrency: 1})
		<-begun
		for _, subject := range []string{"s", "other", ""} {
			put("old "+subject, subject, 1)
			put("new "+subject, subject, 2)
		}
		if got := len(q.Withdraw(func(m Message) bool { return m.Origin == 1 })); got != 3 {
			t.Fatalf("%d messages withdrawn, want 3", got)
		}
		close(release)
		synctest.Wait()
		close(settled)
		got := map[string]bool{}
		for s := range settled {
			got[s] = true
		}
		if len(got) != 4 || got["old s 1 "] || !got["new s 1 "] || !got["new other 1 "] || !got["new  1 "] || !got["out 1 "] {
			t.Fatalf("settled %v", got)
		}
	})
}

func TestWhatIsNoEventIsRejectedAndNoHandlerGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, settled := NewQueue(), make(chan broker.Outcome, 1)
		q.Put(Message{Malformed: errors.New("no CloudEvent"), Settle: func(out broker.Outcome) { settled <- out }})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		Run(ctx, q, func(context.Context, broker.Delivery) broker.Outcome {
			t.Error("a handler got it")
			return broker.Ack()
		}, Config{Concurrency: 1})
		if got, want := <-settled, broker.Reject("no CloudEvent"); got != want {
			t.Errorf("settled with %v, want %v", got, want)
		}
	})
}
