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

// The window bounds what a publisher has under way, and so its memory: callers
// beyond it wait before their events are even written.
const (
	windowBytes = 64 << 20
	leastWeight = 256 << 10                 // of an event, however small
	Window      = windowBytes / leastWeight // events under way at most
)

type publisher struct {
	topic  string
	link   *link
	routes *routes
	window *semaphore.Weighted
	closed atomic.Bool
	state  *state
}

func newPublisher(d *driver, project, topic string) *publisher {
	name := topicName(project, topic)
	return &publisher{
		topic:  name,
		link:   &link{driver: d, project: project},
		routes: newRoutes(name, d.create),
		window: semaphore.NewWeighted(windowBytes),
		state:  d.newState("publisher", topic),
	}
}

// Publish sends e in a request of its own and waits for Pub/Sub's confirmation.
// A try whose outcome is unknown is repeated with the same event id.
func (p *publisher) Publish(ctx context.Context, e event.Event) error {
	if p.closed.Load() {
		return broker.ErrClosed
	}
	p.state.pending.Inc()
	defer p.state.pending.Dec()
	weight := min(max(leastWeight, int64(len(e.Data()))*2), windowBytes) // as data, and as a message
	if err := p.window.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("publish event %s: %w", e.ID(), err)
	}
	defer p.window.Release(weight)
	if p.closed.Load() {
		return broker.ErrClosed
	}
	m, err := encode(e)
	if err != nil {
		return fmt.Errorf("publish event %s: %w", e.ID(), err)
	}
	err = persistently(ctx, func(ctx context.Context) error {
		return p.try(ctx, func(ctx context.Context, c *pubsub.Client) error { return publish(ctx, c, p.topic, m) })
	})
	if err != nil {
		return fmt.Errorf("publish event %s to %s: %w", e.ID(), short(p.topic), err)
	}
	return nil
}

// try does something at the broker once, if the topic leads anywhere.
func (p *publisher) try(ctx context.Context, do func(context.Context, *pubsub.Client) error) error {
	c, err := p.link.get(ctx)
	if err == nil {
		err = p.routes.check(ctx, c)
	}
	if err == nil {
		err = do(ctx, c)
	}
	if stale(err) {
		p.link.drop(c)
	}
	p.state.saw(ctx, err)
	return err
}

// Check asks Pub/Sub whether the topic has subscriptions, if that is not known
// from a moment ago.
func (p *publisher) Check(ctx context.Context) error {
	err := p.try(ctx, func(context.Context, *pubsub.Client) error { return nil })
	return explain(err)
}

// Close takes the whole window, which it has once nothing is under way.
func (p *publisher) Close(ctx context.Context) error {
	p.closed.Store(true)
	if err := p.window.Acquire(ctx, windowBytes); err != nil {
		return fmt.Errorf("close publisher of %s: %w", short(p.topic), err)
	}
	p.window.Release(windowBytes) // whoever waits for it learns that the publisher is closed
	p.link.close()
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
