package stub

import (
	"context"
	"fmt"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Publisher returns a publisher of topic.
func (b *Broker) Publisher(topic string) broker.Publisher {
	return &publisher{broker: b, topic: topic, drained: make(chan struct{})}
}

type publisher struct {
	broker *Broker
	topic  string

	mu      sync.Mutex
	closed  bool
	calls   int           // calls to Publish that have not returned
	drained chan struct{} // closed once closed and without calls
}

// Publish stores e for every subscription of the topic, or for none.
func (p *publisher) Publish(ctx context.Context, e event.Event) error {
	if !p.enter() {
		return broker.ErrClosed
	}
	defer p.leave()
	if err := e.Validate(); err != nil {
		return fmt.Errorf("publish event %s: %w", e.ID(), err)
	}
	wire, err := e.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write event %s: %w", e.ID(), err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("publish event %s: %w", e.ID(), err)
		}
		full, err := p.broker.store(p.topic, wire)
		if err != nil {
			return fmt.Errorf("publish event %s to %s: %w", e.ID(), p.topic, err)
		}
		if full == nil {
			return nil
		}
		select {
		case <-full:
		case <-ctx.Done():
		}
	}
}

// Close waits for the calls that have not returned.
func (p *publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if p.calls == 0 {
			close(p.drained)
		}
	}
	p.mu.Unlock()
	select {
	case <-p.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close publisher of %s: %w", p.topic, ctx.Err())
	}
}

func (p *publisher) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls++
	return true
}

func (p *publisher) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls--
	if p.closed && p.calls == 0 {
		close(p.drained)
	}
}

// store keeps one event for every subscription of topic. If one is full it
// stores nothing and returns what is closed when there is room somewhere.
func (b *Broker) store(topic string, wire []byte) (full <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	subscriptions := b.topics[topic]
	if len(subscriptions) == 0 {
		return nil, broker.ErrUnroutable
	}
	for _, s := range subscriptions {
		if s.held >= b.capacity {
			return b.freed, nil
		}
	}
	parcels := make([]*parcel, 0, len(subscriptions))
	for _, s := range subscriptions {
		p := &parcel{broker: b, subscription: s}
		if err := p.event.UnmarshalJSON(wire); err != nil {
			return nil, fmt.Errorf("read the event back: %w", err)
		}
		parcels = append(parcels, p)
	}
	for _, p := range parcels {
		p.subscription.held++
		p.offer()
	}
	return nil, nil
}
