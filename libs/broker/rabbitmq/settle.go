package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
)

// held is one delivery until it is settled.
type held struct {
	reception *reception
	alive     context.Context // ends with the connection that fetched it
	channel   *amqp.Channel
	delivery  amqp.Delivery
	history   history
	since     time.Time
}

// offer puts the delivery up for its handler.
func (p *held) offer() {
	e, err := broker.Decode(p.delivery.Body)
	p.reception.queue.Put(dispatch.Message{
		Delivery: broker.Delivery{Event: e, Attempt: p.history.deliveries + 1}, Malformed: err, Settle: p.settle, Origin: p,
	})
}

// settle carries out what the handler decided.
func (p *held) settle(out broker.Outcome) {
	r := p.reception
	switch out.Kind {
	case broker.Acked:
		p.ack()
	case broker.Paused:
		if p.alive.Err() == nil { // else the broker repeats it
			p.offer()
		}
	case broker.Rejected:
		p.bury(p.history.failed(out.Reason, time.Now()))
	default:
		now := time.Now()
		h := p.history.failed(out.Reason, now)
		switch {
		case h.deliveries >= r.limits.MaxDeliveries:
			if h.reason == "" {
				h.reason = "the handler asked for a retry each time"
			}
			h.reason = fmt.Sprintf("delivered %d times: %s", h.deliveries, h.reason)
			p.bury(h)
		case out.After > 0:
			h.notBefore = now.Add(out.After)
			p.store(delayQueue(r.Name, step(out.After)), h)
		default:
			p.store(r.Name, h)
		}
	}
}

func (p *held) bury(h history) {
	r := p.reception
	r.driver.log.Warn("event moved to the dead letters", "subscription", r.Name, "event", p.delivery.MessageId, "err", h.reason)
	p.store(deadQueue(r.Name), h)
}

// store puts the message into a queue with a new history, and acknowledges the
// delivery once the broker has confirmed that. Until then, and if the delivery's
// connection or the time to settle ends first, it is the broker's to repeat.
func (p *held) store(queue string, h history) {
	r, original := p.reception, p.delivery
	for {
		err := r.outbox.send(p.alive, "", queue, func() (amqp.Publishing, error) { return copyOf(original, h), nil })
		if err == nil {
			p.ack()
			return
		}
		if errors.As(err, new(refusedError)) && len(original.Headers) > 0 { // they leave no room for ours
			r.driver.log.Warn("event stored anew without the headers of who published it", "subscription", r.Name, "event", p.delivery.MessageId, "err", err)
			original.Headers = nil
			continue
		}
		if errors.As(err, new(refusedError)) {
			r.driver.log.Error("event cannot be stored anew; the broker moves it to the dead letters", "subscription", r.Name, "event", p.delivery.MessageId, "err", err)
			p.reject()
			return
		}
		if !errors.Is(err, broker.ErrUnroutable) {
			r.driver.log.Warn("delivery not settled; the broker repeats it", "subscription", r.Name, "event", p.delivery.MessageId, "err", err)
			return
		}
		// Somebody deleted the queue.
		r.driver.log.Warn("queue is missing; declaring it again", "queue", queue, "err", err)
		if err := r.declare(p.alive); err != nil {
			r.driver.log.Warn("queue not declared", "queue", queue, "err", err)
		}
		select {
		case <-p.alive.Done():
			return
		case <-time.After(mostRedial):
		}
	}
}

// reject lets the broker itself move the message to the dead letters, as it is.
func (p *held) reject() {
	if err := p.delivery.Reject(false); err != nil {
		p.reception.driver.log.Debug("rejection lost; the broker repeats the delivery",
			"subscription", p.reception.Name, "event", p.delivery.MessageId, "err", err)
	}
}

// ack tells the broker that the delivery is dealt with. If the connection is
// lost it delivers again, as it must.
func (p *held) ack() {
	if err := p.delivery.Ack(false); err != nil {
		p.reception.driver.log.Debug("acknowledgement lost; the broker repeats the delivery",
			"subscription", p.reception.Name, "event", p.delivery.MessageId, "err", err)
	}
}
