package rabbitmq

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

func TestStepsOfADelay(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{
		time.Millisecond: time.Second, time.Second: time.Second, 4 * time.Second: time.Second, 7 * time.Second: 5 * time.Second,
		time.Minute: 30 * time.Second, time.Hour: 2 * time.Minute,
	} {
		if got := step(wait); got != want {
			t.Errorf("step(%s) = %s, want %s", wait, got, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{"3.10.8": "3 10 true", "4.1.0-rc.1": "4 1 true", "": "0 0 false", "unknown": "0 0 false"} {
		major, minor, ok := parse(version)
		if got := fmt.Sprint(major, minor, ok); got != want {
			t.Errorf("parse(%q) = %s, want %s", version, got, want)
		}
	}
}

// receive runs a subscriber until stop is called.
func receive(t *testing.T, s broker.Subscriber, h broker.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Receive(ctx, h) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func send(t *testing.T, p broker.Publisher, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	if err := p.Publish(ctx, sample(id)); err != nil {
		t.Fatal(err)
	}
}

// dead waits for a dead letter.
func dead(t *testing.T, h *harness, topic, name string) broker.DeadLetter {
	t.Helper()
	var found []broker.DeadLetter
	until(t, "a dead letter", func() bool {
		found = nil
		_, err := h.DeadLetters(topic, name).Review(t.Context(), func(l broker.DeadLetter) broker.Verdict {
			found = append(found, l)
			return broker.Keep
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(found) > 0
	})
	return found[0]
}

func TestARetryWaitsInSeveralStepsAndNoLongerThanTheyAdd(t *testing.T) {
	const after = 2500 * time.Millisecond
	h := newHarness(t).(*harness)
	at := make(chan time.Time, 10)
	stop := receive(t, h.Subscriber("settle.steps", "settle.steps-sub", broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		at <- time.Now()
		if d.Attempt == 1 {
			return broker.Retry(after)
		}
		return broker.Ack()
	})
	defer stop()
	send(t, h.Publisher("settle.steps"), "a")
	first := <-at
	if took := (<-at).Sub(first); took < after || took > after+2*time.Second {
		t.Errorf("the retry came after %s, want %s and at most a step more", took, after)
	}
}

func TestWhatIsNoEventGoesToTheDeadLettersAndNoHandlerGetsIt(t *testing.T) {
	h := newHarness(t).(*harness)
	s := h.Subscriber("settle.malformed", "settle.malformed-sub", broker.Limits{})
	if err := h.node.Publish("settle.malformed", "clusters.changed", amqp.Publishing{Body: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		t.Errorf("a handler got %v", d.Event)
		return broker.Ack()
	})
	defer stop()
	l := dead(t, h, "settle.malformed", "settle.malformed-sub")
	if string(l.Malformed) != "hello" || !strings.HasPrefix(l.ID(), "malformed-") || !strings.Contains(l.Reason, "no CloudEvent") {
		t.Errorf("dead letter %+v", l)
	}
}

// An event whose handler ends its process every time would do so for ever.
func TestAnEventThatNobodySurvivesGoesToTheDeadLetters(t *testing.T) {
	h := newHarness(t).(*harness)
	const name = "settle.deadly-sub"
	h.Subscriber("settle.deadly", name, broker.Limits{})
	send(t, h.Publisher("settle.deadly"), "a")
	for n := 0; n <= crashLimit; n++ {
		until(t, fmt.Sprintf("delivery %d", n+1), func() (got bool) {
			c, err := amqp.Dial(h.node.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close() // without settling anything
			ch, err := c.Channel()
			if err != nil {
				t.Fatal(err)
			}
			_, got, err = ch.Get(name, false)
			if err != nil {
				t.Fatal(err)
			}
			return got
		})
	}
	l := dead(t, h, "settle.deadly", name)
	if l.Event.ID() != "a" || l.Deliveries != crashLimit+1 || !strings.Contains(l.Reason, "was lost before it was settled") || l.First.IsZero() || l.Last.IsZero() {
		t.Errorf("dead letter %+v", l)
	}
}

// A broker takes back what a consumer holds for long, and counts it.
func TestWhatIsHeldForLongIsStoredAnew(t *testing.T) {
	h := newHarness(t).(*harness)
	const name = "settle.held-sub"
	s := h.Subscriber("settle.held", name, broker.Limits{}).(*subscriber)
	s.patience = 300 * time.Millisecond
	send(t, h.Publisher("settle.held"), "a")
	begun := time.Now()
	attempts := make(chan int, 1000)
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		attempts <- d.Attempt
		return broker.Pause("the API is away")
	})
	until(t, "the outage to outlast the subscriber's patience", func() bool { return time.Since(begun) > 3*s.patience })
	stop()
	close(attempts)
	for a := range attempts {
		if a != 1 {
			t.Fatalf("attempt %d, but a pause counts no delivery", a)
		}
	}
	admin(t, func(ch *amqp.Channel) error {
		m, ok, err := ch.Get(name, false)
		if err == nil && (!ok || m.Exchange != "" || broughtBack(m) > 3) {
			t.Errorf("got %t from exchange %q, brought back %d times; want a copy", ok, m.Exchange, broughtBack(m))
		}
		return err
	})
}

// A subscription whose queues were deleted by mistake comes back.
func TestDeletedQueuesAreDeclaredAgainAndNothingIsLost(t *testing.T) {
	h := newHarness(t).(*harness)
	const name = "settle.deleted-sub"
	s := h.Subscriber("settle.deleted", name, broker.Limits{})
	p := h.Publisher("settle.deleted")
	send(t, p, "a")
	admin(t, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(deadQueue(name), false, false, false)
		return err
	})
	got := make(chan string, 10)
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.ID()
		if d.Event.ID() == "a" {
			return broker.Reject("no use")
		}
		return broker.Ack()
	})
	defer stop()
	<-got
	if l := dead(t, h, "settle.deleted", name); l.Reason != "no use" {
		t.Errorf("dead letter %+v", l)
	}
	admin(t, func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err })
	until(t, "the queue to be there again", func() bool { return p.Publish(t.Context(), sample("b")) == nil })
	until(t, "the event", func() bool { return <-got == "b" })
}

// What a queue gives up stays in it until the next queue has it.
func TestARetryWaitsForItsQueueToComeBack(t *testing.T) {
	h := newHarness(t).(*harness)
	const name = "settle.away-sub"
	s := h.Subscriber("settle.away", name, broker.Limits{}).(*subscriber)
	send(t, h.Publisher("settle.away"), "a")
	begun := make(chan int, 10)
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		begun <- d.Attempt
		return broker.Retry(time.Millisecond)
	})
	<-begun
	stop()
	waiting := func(queue string) (n int) {
		admin(t, func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			n = q.Messages
			return err
		})
		return n
	}
	if n := waiting(delayQueue(name, delays[0])); n != 1 {
		t.Fatalf("%d events wait for their time, want 1", n)
	}
	admin(t, func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err })
	// An event handed on at most once leaves when its time comes, and is gone. It
	// has come once one that waits as long, and began later, is through.
	const witness = "settle.witness-sub"
	h.Subscriber("settle.witness", witness, broker.Limits{})
	if err := h.node.Publish("", delayQueue(witness, delays[0]), amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the witness", func() bool { return waiting(witness) == 1 })
	if err := s.declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the event in its queue", func() bool { return waiting(name) == 1 })
}

// Beside headers that fill a frame there is no room for what befell an event.
func TestHeadersThatLeaveNoRoomAreDroppedAndKeepNoOtherEventWaiting(t *testing.T) {
	h := newHarness(t).(*harness)
	const topic, name = "settle.poison", "settle.poison-sub"
	s := h.Subscriber(topic, name, broker.Limits{})
	poison, err := wire(sample("poison"))
	if err != nil {
		t.Fatal(err)
	}
	poison.Headers = amqp.Table{"filler": strings.Repeat("x", 130_900)}
	if err := h.node.Publish(topic, "clusters.changed", poison); err != nil {
		t.Fatal(err)
	}
	p := h.Publisher(topic)
	const n = 30
	for i := range n {
		send(t, p, fmt.Sprint("neighbour-", i))
	}
	flowed := make(chan string, 10*n)
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		if d.Attempt == 1 {
			return broker.Outcome{Kind: broker.Retried, Reason: strings.Repeat("why ", 100)}
		}
		flowed <- d.Event.ID()
		return broker.Ack()
	})
	defer stop()
	seen := map[string]bool{}
	until(t, "the neighbours", func() bool {
		for len(flowed) > 0 {
			seen[<-flowed] = true
		}
		return len(seen) == n+1
	})
	until(t, "the subscriber to be well", func() bool { return s.(broker.Checker).Check(t.Context()) == nil })
}

// limitMessages makes the node refuse messages beyond a size: the default of
// 128 MiB is too much for a test.
func limitMessages(t *testing.T, h *harness, size int) {
	t.Helper()
	set := func(size int) {
		if err := h.node.Eval(fmt.Sprintf("application:set_env(rabbit, max_message_size, %d).", size)); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { set(128 << 20) })
	set(size)
}

func TestAnEventThatTheBrokerRefusesIsAnErrorAndItsNeighboursAreSent(t *testing.T) {
	h := newHarness(t).(*harness)
	const topic = "settle.refused"
	h.Subscriber(topic, "settle.refused-sub", broker.Limits{})
	limitMessages(t, h, 100_000)
	p := h.Publisher(topic)
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	answers := make(chan error, 30)
	for i := range cap(answers) {
		go func() { answers <- p.Publish(ctx, sample(fmt.Sprint("neighbour-", i))) }()
	}
	large := sample("large")
	large.DataEncoded = []byte(`"` + strings.Repeat("x", 200_000) + `"`)
	if err := p.Publish(ctx, large); err == nil || !strings.Contains(err.Error(), "the broker refuses the message") {
		t.Errorf("Publish gave %v", err)
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	until(t, "the publisher to be well", func() bool { return p.(broker.Checker).Check(t.Context()) == nil })
}

func TestAnEventThatCannotBeStoredAnewIsADeadLetter(t *testing.T) {
	h := newHarness(t).(*harness)
	const topic, name = "settle.grown", "settle.grown-sub"
	s := h.Subscriber(topic, name, broker.Limits{})
	large := sample("large")
	large.DataEncoded = []byte(`"` + strings.Repeat("x", 200_000) + `"`)
	if err := h.Publisher(topic).Publish(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	limitMessages(t, h, 100_000)
	stop := receive(t, s, func(context.Context, broker.Delivery) broker.Outcome { return broker.Retry(0) })
	defer stop()
	if l := dead(t, h, topic, name); l.Event.ID() != "large" || l.Deliveries != 1 || !strings.Contains(l.Reason, "refused to store the event anew") || l.First.IsZero() {
		t.Errorf("dead letter %+v", l)
	}
}
