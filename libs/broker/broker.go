package broker

import (
	"context"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Types of broker, as the `type` field of a broker's configuration names them.
const (
	TypePubSub   = "gcp-pubsub"
	TypeRabbitMQ = "rabbitmq"
	TypeStub     = "stub"
)

// Errors that a Publisher may return.
var (
	// ErrUnroutable says that the topic has no subscription: the event reached nobody.
	ErrUnroutable = errors.New("event is unroutable: the topic has no subscription")
	// ErrClosed says that the publisher was closed.
	ErrClosed = errors.New("publisher is closed")
)

// Publisher sends events to one topic. It is safe for concurrent use, and
// concurrent calls share the broker's window of outstanding confirms.
type Publisher interface {
	// Publish blocks until the broker has confirmed that e is stored for every
	// subscription of the topic, and returns nil only then. For what somebody can
	// mend it waits and tries again, as long as ctx lets it, and then says what it
	// was: a broker that blocks or is away, a topic or exchange that is missing,
	// credentials, a permission. It returns at once when waiting is of no use:
	// [ErrUnroutable], or an event that the broker refuses for what it is. After
	// an error the event may or may not have been delivered.
	//
	// Where a broker forgets what it stores for no subscription (gcp-pubsub), the
	// driver asks for subscriptions every 10 s: for so long after the last one was
	// deleted, what is published counts as stored though it reaches nobody.
	Publish(ctx context.Context, e event.Event) error
	// Close waits for outstanding confirms as long as ctx lets it, then releases
	// the connection. Later calls to Publish return ErrClosed.
	Close(ctx context.Context) error
}

// Subscriber receives the events of one subscription.
type Subscriber interface {
	// Receive hands deliveries to h until ctx ends, then stops fetching, waits
	// for the handlers that run and settles what they return. It returns nil
	// when ctx ended, else why it cannot go on.
	//
	// At most [Limits].Concurrency handlers run at once, and never two for the
	// same subject (the resource's id). A handler that panics counts as one that
	// crashed: the event is delivered again, and the delivery counts.
	Receive(ctx context.Context, h Handler) error
}

// Limits bound what one subscriber takes on.
type Limits struct {
	Concurrency   int // handlers at once; 0 = 16
	MaxDeliveries int // deliveries before the dead letters; 0 = 5
}

// Defaults returns l with its zero fields set.
func (l Limits) Defaults() Limits {
	if l.Concurrency == 0 {
		l.Concurrency = 16
	}
	if l.MaxDeliveries == 0 {
		l.MaxDeliveries = 5
	}
	return l
}

// Handler handles one delivery and says what becomes of it. Its context ends
// when the subscriber must stop without waiting any longer.
type Handler func(ctx context.Context, d Delivery) Outcome

// Delivery is one delivery of an event.
type Delivery struct {
	Event   event.Event
	Attempt int // 1 for the first delivery; a lower bound where the broker does not count
}

// Outcome is what a handler decides on a delivery. The zero Outcome retries at once.
type Outcome struct {
	Kind   OutcomeKind
	After  time.Duration // with Retried: not before, best effort
	Reason string        // with Rejected and Paused
}

// OutcomeKind tells outcomes apart.
type OutcomeKind int

// Kinds of outcome.
const (
	Retried OutcomeKind = iota
	Acked
	Rejected
	Paused
)

// Ack says that the event was dealt with.
func Ack() Outcome { return Outcome{Kind: Acked} }

// Retry asks for the event again, not before the given time has passed. The
// delivery counts towards [Limits].MaxDeliveries.
func Retry(after time.Duration) Outcome { return Outcome{Kind: Retried, After: after} }

// Reject sends the event to the dead letters: it can never succeed.
func Reject(reason string) Outcome { return Outcome{Kind: Rejected, Reason: reason} }

// Pause says that something every event needs is away. The event is delivered
// again and the delivery does not count; the subscriber takes events one at a
// time, ever more slowly, until one ends otherwise.
func Pause(reason string) Outcome { return Outcome{Kind: Paused, Reason: reason} }
