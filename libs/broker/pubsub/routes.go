package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/semaphore"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// routesFresh is for how long it is believed that a topic has subscriptions.
const routesFresh = 10 * time.Second

// routes knows whether a topic leads anywhere. Pub/Sub confirms what is
// published to a topic without subscriptions, and forgets it: so they are
// listed before the first event, and again when the answer is not fresh. That
// there are none is never believed without asking again.
type routes struct {
	topic  string
	create bool // the topic, where it is missing
	health *health.Health
	turn   *semaphore.Weighted

	mu    sync.Mutex
	asked time.Time
	err   error // of the last answer
}

func newRoutes(topic string, create bool, h *health.Health) *routes {
	return &routes{topic: topic, create: create, health: h, turn: semaphore.NewWeighted(1)}
}

// check returns nil if the topic has subscriptions, or if this process may not
// know. That it may not is a doubt of the publisher's health for as long as it lasts.
func (r *routes) check(ctx context.Context, c *pubsub.Client) error {
	began := time.Now()
	if err, ok := r.known(began); ok {
		return err
	}
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.turn.Release(1)
	if err, ok := r.known(began); ok { // another asked while this call waited
		return err
	}
	asked := time.Now()
	err := r.ask(ctx, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.As(err, new(unverifiedError)):
		r.health.Doubt(health.Credentials, err)
		err = nil
	case err == nil:
		r.health.Doubt(health.Credentials, nil)
	}
	r.asked, r.err = asked, err
	return err
}

// known returns the last answer if it will do for a call that began then.
func (r *routes) known(began time.Time) (err error, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := r.err == nil && time.Since(r.asked) < routesFresh
	return r.err, fresh || r.asked.After(began)
}

func (r *routes) ask(ctx context.Context, c *pubsub.Client) error {
	names := c.TopicAdminClient.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: r.topic, PageSize: 1}, once())
	_, err := names.Next()
	switch {
	case err == nil:
		return nil
	case status.Code(err) == codes.PermissionDenied:
		return unverifiedError{r.topic, err}
	case err != iterator.Done && status.Code(err) != codes.NotFound: //nolint:errorlint // as the iterator's documentation says
		return fmt.Errorf("list the subscriptions of %s: %w", short(r.topic), err)
	}
	if r.create {
		if err := ensureTopic(ctx, c, r.topic); err != nil {
			return err
		}
		return broker.ErrUnroutable // so new that nothing subscribes to it
	}
	_, err = c.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: r.topic}, once())
	switch status.Code(err) {
	case codes.OK, codes.PermissionDenied:
		return broker.ErrUnroutable
	case codes.NotFound:
		return missingError{fmt.Sprintf("there is no topic %s. Start with --create-topology, or create it:\n  %s", short(r.topic), createTopic(r.topic))}
	}
	return fmt.Errorf("look for topic %s: %w", short(r.topic), err)
}
