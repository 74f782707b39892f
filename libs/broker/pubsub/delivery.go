package pubsub

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
)

// mostReturns is after how many deliveries, as Pub/Sub counts them, an event is
// stored anew instead of given back. It leaves as many to lost connections.
const mostReturns = mostAttempts / 2

// acts are what a session does at the broker beside receiving.
type acts struct {
	client  *pubsub.Client
	stopped chan struct{}   // closed when no handler runs any more
	context context.Context // ends soon after
	held    atomic.Int64    // events that wait for their retry
}

// keep owns m from its arrival until it is settled at the broker. Meanwhile the
// client library renews its lease and counts it in the window.
func (s *subscriber) keep(a *acts, queue *dispatch.Queue, m *pubsub.Message) {
	if only, ok := m.Attributes[attrSubscription]; ok && only != s.plan.name {
		m.Ack() // replayed for another; the subscription has no filter
		return
	}
	known := s.failures.of(m)
	if !s.hold(a, time.Until(known.notBefore)) { // it came early and there is no room to wait
		s.giveBack(a, m)
		return
	}
	outcomes := make(chan broker.Outcome, 1)
	for {
		e, malformed := broker.Decode(m.Data) // anew, for a handler may do to its event what it likes
		queue.Put(dispatch.Message{
			Delivery:  broker.Delivery{Event: e, Attempt: known.n + 1},
			Malformed: malformed,
			Settle:    func(out broker.Outcome) { outcomes <- out },
		})
		out, ok := a.await(outcomes)
		switch {
		case !ok: // nobody handled it
			s.giveBack(a, m)
		case out.Kind == broker.Acked:
			s.failures.forget(m.ID)
			m.Ack()
		case out.Kind == broker.Rejected:
			s.failures.record(m.ID, 0)
			s.bury(a, m, out.Reason)
		case out.Kind == broker.Paused:
			continue // the lease is held, so that it counts nothing
		default:
			s.retry(a, m, out)
		}
		return
	}
}

// await waits for a handler's outcome. There is none if the session stopped
// before a handler took the event.
func (a *acts) await(outcomes <-chan broker.Outcome) (out broker.Outcome, ok bool) {
	select {
	case out = <-outcomes:
		return out, true
	case <-a.stopped:
	}
	select { // both may have been true
	case out = <-outcomes:
		return out, true
	default:
		return out, false
	}
}

// retry hands m back when its time has come, or buries it at the limit.
func (s *subscriber) retry(a *acts, m *pubsub.Message, out broker.Outcome) {
	if n := s.failures.record(m.ID, out.After); n >= s.limits.MaxDeliveries {
		reason := out.Reason
		if reason == "" {
			reason = "the handler asked for a retry each time"
		}
		s.bury(a, m, fmt.Sprintf("delivered %d times: %s", n, reason))
		return
	}
	s.hold(a, out.After)
	s.giveBack(a, m) // if that is early, it waits when it comes again
}

// hold waits for d and says whether it has passed: not if the session stops, or
// if half of the window waits already, so that the others flow.
func (s *subscriber) hold(a *acts, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	defer a.held.Add(-1)
	if a.held.Add(1) > int64(windowFactor*s.limits.Concurrency/2) {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.stopped:
		return false
	}
}

// giveBack lets m come again. Pub/Sub counts every return, also of what nobody
// handled: before it gives the event up for that, the event is stored anew for
// this subscription and, once that is confirmed, acknowledged.
func (s *subscriber) giveBack(a *acts, m *pubsub.Message) {
	if m.DeliveryAttempt == nil || *m.DeliveryAttempt < mostReturns {
		m.Nack()
		return
	}
	ctx, cancel := context.WithTimeout(a.context, callTimeout)
	defer cancel()
	if err := publish(ctx, a.client, s.plan.topic, anew(m, s.plan.name, s.failures.of(m))); err != nil {
		s.log.Warn("cannot store anew what was delivered often", "event", m.ID, "deliveries", *m.DeliveryAttempt, "err", explain(err))
		m.Nack()
		return
	}
	s.failures.forget(m.ID)
	m.Ack()
}

// bury publishes m to the dead letters and acknowledges it once that is
// confirmed. If it cannot be, the event comes again.
func (s *subscriber) bury(a *acts, m *pubsub.Message, reason string) {
	l := s.failures.letter(m.ID)
	l.Reason = reason
	log := s.log.With("event", m.ID, "reason", reason)
	ctx, cancel := context.WithTimeout(a.context, callTimeout)
	defer cancel()
	err := persistently(ctx, func(ctx context.Context) error {
		return publish(ctx, a.client, s.plan.deadTopic, bury(m.Data, m.Attributes, l))
	})
	if err != nil {
		s.state.saw(a.context, err)
		log.Error("cannot move the event to the dead letters; it comes again", "err", err)
		m.Nack()
		return
	}
	log.Warn("event moved to the dead letters")
	s.failures.forget(m.ID)
	m.Ack()
}
