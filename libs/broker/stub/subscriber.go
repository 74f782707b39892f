package stub

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
)

// Subscriber declares the subscription at once, so that events published from
// now on are kept for it, and returns a subscriber of it. Several subscribers
// of one subscription share its events, and the delivery limit declared last.
func (b *Broker) Subscriber(topic, subscription string, l broker.Limits) broker.Subscriber {
	l = l.Defaults()
	return &subscriber{broker: b, subscription: b.declare(topic, subscription, l.MaxDeliveries), concurrency: l.Concurrency}
}

type subscriber struct {
	broker       *Broker
	subscription *subscription
	concurrency  int
}

// Receive never fails: there is no connection to lose.
func (s *subscriber) Receive(ctx context.Context, h broker.Handler) error {
	dispatch.Run(ctx, s.subscription.queue, h, dispatch.Config{Concurrency: s.concurrency, Log: s.broker.log})
	return nil
}

// parcel is one event as one subscription holds it.
type parcel struct {
	broker       *Broker
	subscription *subscription
	event        event.Event
	deliveries   int // those that count
	first, last  time.Time
	reason       string // why it is dead
}

// offer puts the parcel up for its next delivery.
func (p *parcel) offer() {
	p.subscription.queue.Put(dispatch.Message{
		// A handler may do to its event what it likes.
		Delivery: broker.Delivery{Event: p.event.Clone(), Attempt: p.deliveries + 1},
		Settle:   p.settle,
	})
}

func (p *parcel) settle(out broker.Outcome) {
	switch out.Kind {
	case broker.Acked:
		p.broker.free(p.subscription)
	case broker.Paused:
		p.offer()
	case broker.Rejected:
		p.count()
		p.bury(out.Reason)
	default:
		p.count()
		if p.deliveries >= p.broker.limit(p.subscription) {
			p.bury(fmt.Sprintf("delivered %d times: %s", p.deliveries, orElse(out.Reason, "the handler asked for a retry each time")))
			return
		}
		if out.After <= 0 {
			p.offer()
			return
		}
		time.AfterFunc(out.After, p.offer)
	}
}

func (p *parcel) count() {
	p.deliveries++
	p.last = time.Now()
	if p.first.IsZero() {
		p.first = p.last
	}
}

// bury moves the parcel to the dead letters, of which only the newest are kept.
func (p *parcel) bury(reason string) {
	b, s := p.broker, p.subscription
	b.log.Warn("event moved to the dead letters", "subscription", s.name, "cluster", p.event.Subject(), "event", p.event.ID(), "err", reason)
	b.mu.Lock()
	if len(s.dead) >= b.capacity {
		s.dead = append(s.dead[:0], s.dead[1:]...)
	}
	p.reason = broker.Cut(reason, broker.MostReason)
	s.dead = append(s.dead, p)
	b.mu.Unlock()
	b.free(s)
}

func (b *Broker) limit(s *subscription) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.maxDeliveries
}

// free makes room for one event and tells the publishers that wait for it.
func (b *Broker) free(s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.held--
	if s.held == b.capacity-1 {
		close(b.freed)
		b.freed = make(chan struct{})
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
