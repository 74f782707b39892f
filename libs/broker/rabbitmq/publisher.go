package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// publisher publishes to one route.
type publisher struct {
	route  broker.Route
	outbox *outbox
	calls  sync.WaitGroup // calls to Publish that have not returned
	ended  chan struct{}  // closed once closed, drained and disconnected

	mu     sync.Mutex
	closed bool
	stop   context.CancelFunc
}

func newPublisher(d *driver, r broker.Route) *publisher {
	ctx, stop := context.WithCancel(context.Background())
	p := &publisher{route: r, stop: stop, ended: make(chan struct{})}
	p.outbox = newOutbox(newLink(d, "publisher", r.Exchange), func(c *amqp.Connection) error { return declareRoute(c, r) })
	go func() {
		defer close(p.ended)
		p.outbox.run(ctx)
	}()
	return p
}

// Publish sends e and waits until every queue that it goes to has it.
//
// There may be a million who wait for a place in the window. So they wait here,
// where their stacks are still as small as stacks are.
func (p *publisher) Publish(ctx context.Context, e event.Event) error {
	if !p.enter() {
		return broker.ErrClosed
	}
	p.outbox.link.health.Pending.Inc()
	select {
	case p.outbox.slots <- struct{}{}:
		return p.sent(ctx, e)
	case <-ctx.Done():
		return p.refused(ctx, e)
	}
}

// sent sends e from its place in the window.
func (p *publisher) sent(ctx context.Context, e event.Event) error {
	defer p.calls.Done()
	defer p.outbox.link.health.Pending.Dec()
	err := p.outbox.post(ctx, p.route.Exchange, p.route.RoutingKey, func() (amqp.Publishing, error) { return wire(e) })
	switch {
	case errors.Is(err, broker.ErrUnroutable):
		return fmt.Errorf("publish event %s to exchange %s with routing key %s: %w", e.ID(), p.route.Exchange, p.route.RoutingKey, err)
	case err != nil:
		return fmt.Errorf("publish event %s: %w", e.ID(), err)
	}
	return nil
}

// refused says why e got no place.
func (p *publisher) refused(ctx context.Context, e event.Event) error {
	defer p.calls.Done()
	defer p.outbox.link.health.Pending.Dec()
	return fmt.Errorf("publish event %s: %w", e.ID(), p.outbox.overdue(ctx))
}

func (p *publisher) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	return true
}

// Close waits for calls that have not returned. If ctx ends first the
// connection ends when the last of them returns.
func (p *publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		go func() {
			p.calls.Wait()
			p.stop()
		}()
	}
	p.mu.Unlock()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close publisher of exchange %s: %w", p.route.Exchange, ctx.Err())
	}
}

// Check says what is wrong with the connection.
func (p *publisher) Check(context.Context) error { return p.outbox.link.health.Check() }
