package rabbitmq

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

func TestADeadLetterThatAnotherLooksAtIsCounted(t *testing.T) {
	h := newHarness(t).(*harness)
	const topic, name = "deadletters", "deadletters-sub"
	s := h.Subscriber(topic, name, broker.Limits{})
	send(t, h.Publisher(topic), "a")
	stop := receive(t, s, func(context.Context, broker.Delivery) broker.Outcome { return broker.Reject("no use") })
	dead(t, h, topic, name)
	stop()
	letters := h.DeadLetters(topic, name)
	counts := func(want int, when string) {
		t.Helper()
		stats, err := letters.Stats(t.Context())
		if err != nil || stats.Count != want || stats.Oldest.IsZero() != (want == 0) {
			t.Errorf("%s: %+v, %v; want %d", when, stats, err, want)
		}
	}
	counts(1, "a dead letter")
	admin(t, func(ch *amqp.Channel) error {
		m, ok, err := ch.Get(deadQueue(name), false)
		if err != nil || !ok {
			t.Errorf("fetch the letter: %t, %v", ok, err)
		}
		counts(1, "one that another holds")
		return m.Ack(false)
	})
	counts(0, "one that is gone")
}
