//go:build mutants

package rabbitmq

import (
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestMutantsAreCaught(t *testing.T) {
	rabbit(t)
	brokertest.Catch(t, []brokertest.Mutant{
		{
			Name: "confirms off", File: "outbox.go",
			Old: "	o.mu.Unlock()\n		if err := ch.Publish(", New: "	o.mu.Unlock()\n		o.confirmed(amqp.Confirmation{DeliveryTag: tag, Ack: true})\n		if err := ch.Publish(",
			Tests: "^TestConformance$/nothing_counts_as_sent",
		},
		{
			Name: "mandatory off", File: "outbox.go",
			Old: "ch.Publish(p.exchange, p.key, true, false, p.message)", New: "ch.Publish(p.exchange, p.key, false, false, p.message)",
			Tests: "^TestConformance$/reaches_no_subscription_is_unroutable",
		},
		{
			Name: "acknowledge before handling", File: "settle.go",
			Old: "func (p *held) offer() {\n", New: "func (p *held) offer() {\n	p.ack()\n",
			Tests: "^TestConformance$/whose_handler_runs_when_the_connection_is_lost",
		},
		{
			Name: "no re-send after reconnect", File: "outbox.go",
			Old: "	o.again = append(left, o.again...)\n", New: "	for _, p := range left {\n		o.finish(p, nil)\n	}\n",
			Tests: "^TestConformance$/connections_cut_in_the_middle",
		},
		{
			Name: "dead letters at most once", File: "topology.go",
			Old: `"x-dead-letter-strategy":    "at-least-once",`, New: `"x-dead-letter-strategy":    "at-most-once",`,
			Tests: "^TestARetryWaitsForItsQueueToComeBack$",
		},
		{
			Name: "dead letters acknowledged unconfirmed", File: "settle.go",
			Old: "		err := r.outbox.send(", New: "		p.ack()\n		err := r.outbox.send(",
			Tests: "^TestConformance$/an_alarm_keeps_from_being_stored",
		},
		{
			Name: "a stop that waits for the broker", File: "link.go",
			Old: "unbind := context.AfterFunc(ctx, func() { part(conn) })", New: "unbind := func() {}",
			Tests: "^TestASessionThatWaitsForASilentBroker",
		},
		{
			Name: "a handshake that outlasts its context", File: "dial.go",
			Old: "conn.SetDeadline(time.Now())", New: "conn.SetDeadline(time.Now().Add(dialTimeout))",
			Tests: "^TestConformance$/a_stop_while_the_broker_is_silent",
		},
		{
			Name: "copies beside the original", File: "settle.go",
			Old: "r.outbox.send(p.alive, ", New: "r.outbox.send(context.WithoutCancel(p.alive), ",
			Tests: "^TestWhatEndsAfterItsConnectionWasLost",
		},
		{
			Name: "a lost connection that waits for an alarm's end", File: "subscriber.go",
			Old: "calls.Go(func() { p.store(", New: "calls.Go(func() {\n p := *p\n p.alive, _ = context.WithTimeout(context.WithoutCancel(ctx), 2*dialTimeout+20*time.Second)\n p.store(",
			Tests: "^TestASubscriberReceivesOnAfterALossDuringAnAlarm$",
		},
		{
			Name: "connected before the refusal is disproved", File: "outbox.go",
			Old: "	if !o.doubted() {\n", New: "	if true {\n",
			Tests: "^TestAProblemIsSaid.*/may_not_write_to",
		},
		{
			Name: "unbounded window", File: "outbox.go",
			Old: "slots: make(chan struct{}, Window), queue: make(chan *parcel, Window)", New: "slots: make(chan struct{}, 1<<20), queue: make(chan *parcel, 1<<20)",
			Tests: "^TestConformance$/nothing_counts_as_sent",
		},
	})
}
