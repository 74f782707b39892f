package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/sync/semaphore"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Window is how many events a publisher has under way at most. Callers beyond
// it wait before anything is done for their events.
const Window = 256

// windowBytes bounds the memory of large events that are under way.
const windowBytes = 64 << 20

type publisher struct {
	topic  string
	link   *link
	routes *routes
	slots  chan struct{} // one in it for each event under way
	bytes  *semaphore.Weighted
	closed atomic.Bool
	turn   *semaphore.Weighted // of those who close
	state  state
	quota  quota
}

func newPublisher(d *driver, project, topic string) *publisher {
	s := d.newState("publisher", topic)
	return &publisher{
		topic:  topicName(project, topic),
		link:   &link{driver: d, project: project},
		routes: newRoutes(topicName(project, topic), d.create, s.Health),
		slots:  make(chan struct{}, Window),
		bytes:  semaphore.NewWeighted(windowBytes),
		turn:   semaphore.NewWeighted(1),
		state:  s,
		quota:  quota{health: s.Health},
	}
}

// Publish sends e in a request of its own and waits for Pub/Sub's confirmation.
// A try whose outcome is unknown is repeated with the same event id.
//
// There may be a million who wait for a place in the window. So they wait here,
// where their stacks are still as small as stacks are.
func (p *publisher) Publish(ctx context.Context, e event.Event) error {
	p.state.Pending.Inc()
	if !p.closed.Load() {
		select {
		case p.slots <- struct{}{}:
			return p.sent(ctx, e)
		case <-ctx.Done():
		}
	}
	return p.refused(ctx, e)
}

// sent publishes e from its place in the window.
func (p *publisher) sent(ctx context.Context, e event.Event) error {
	defer p.state.Pending.Dec()
	defer func() { <-p.slots }()
	err := broker.ErrClosed
	if !p.closed.Load() { // meanwhile
		err = p.send(ctx, e)
	}
	return p.about(e, err)
}

// refused says why e got no place.
func (p *publisher) refused(ctx context.Context, e event.Event) error {
	p.state.Pending.Dec()
	if p.closed.Load() {
		return p.about(e, broker.ErrClosed)
	}
	err := fmt.Errorf("the window is full of unconfirmed events: %w", ctx.Err())
	if problem := p.state.Check(); problem != nil {
		err = fmt.Errorf("%w; %v", err, problem) //nolint:errorlint // one chain: the context's
	}
	return p.about(e, err)
}

func (p *publisher) about(e event.Event, err error) error {
	if err != nil {
		return fmt.Errorf("publish event %s to %s: %w", e.ID(), short(p.topic), err)
	}
	return nil
}

func (p *publisher) send(ctx context.Context, e event.Event) error {
	size := min(2*int64(len(e.Data())), windowBytes) // as data, and as a message
	if err := p.bytes.Acquire(ctx, size); err != nil {
		return err
	}
	defer p.bytes.Release(size)
	m, err := encode(e)
	if err != nil {
		return err
	}
	return persistently(ctx, func(ctx context.Context) error {
		return p.try(ctx, func(ctx context.Context, c *pubsub.Client) error { return publish(ctx, c, p.topic, m) })
	})
}

// try does something at the broker once, if the topic leads anywhere.
func (p *publisher) try(ctx context.Context, do func(context.Context, *pubsub.Client) error) error {
	c, err := p.link.get(ctx)
	if err == nil {
		err = p.routes.check(ctx, c)
	}
	published := err == nil
	if published {
		err = do(ctx, c)
	}
	if stale(err) {
		p.link.drop(c)
	}
	if !published || !p.quota.saw(err) {
		p.state.saw(ctx, err)
	}
	return err
}

// Check asks Pub/Sub whether the topic has subscriptions, if that is not known
// from a moment ago. A publisher that may not know publishes, but is not well.
func (p *publisher) Check(ctx context.Context) error {
	if err := p.try(ctx, func(context.Context, *pubsub.Client) error { return nil }); err != nil {
		return explain(err)
	}
	return p.state.Check()
}

// Close waits for all that is under way: it takes every place in the window.
func (p *publisher) Close(ctx context.Context) error {
	p.closed.Store(true)
	if err := p.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("close publisher of %s: %w", short(p.topic), err)
	}
	defer p.turn.Release(1)
	for taken := range Window {
		select {
		case p.slots <- struct{}{}:
			continue
		case <-ctx.Done():
		}
		for range taken {
			<-p.slots
		}
		return fmt.Errorf("close publisher of %s: %w", short(p.topic), ctx.Err())
	}
	for range Window { // for the next call to Close
		<-p.slots
	}
	p.link.close()
	p.quota.stop()
	p.state.Stop()
	return nil
}

// publish sends one message, once. It returns nil only with its confirmation.
func publish(ctx context.Context, c *pubsub.Client, topic string, m *pubsubpb.PubsubMessage) error {
	r, err := c.TopicAdminClient.Publish(ctx, &pubsubpb.PublishRequest{Topic: topic, Messages: []*pubsubpb.PubsubMessage{m}}, once())
	if err != nil {
		return err
	}
	if len(r.MessageIds) != 1 {
		return errors.New("Pub/Sub confirmed no message")
	}
	return nil
}
