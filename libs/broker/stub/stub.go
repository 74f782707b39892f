package stub

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
)

// DefaultCapacity is how many events a subscription holds before publishers
// wait, and how many dead letters it keeps.
const DefaultCapacity = 10_000

// Broker is a broker in memory. It is safe for concurrent use.
type Broker struct {
	log      *slog.Logger
	capacity int

	mu            sync.Mutex
	topics        map[string][]*subscription
	subscriptions map[string]*subscription
	freed         chan struct{} // closed, and made anew, when a subscription has room again
}

// Option changes a new Broker.
type Option func(*Broker)

// WithLogger logs crashed handlers and dead letters to log.
func WithLogger(log *slog.Logger) Option { return func(b *Broker) { b.log = log } }

// WithCapacity replaces [DefaultCapacity].
func WithCapacity(events int) Option { return func(b *Broker) { b.capacity = events } }

// New returns a broker without topics.
func New(options ...Option) *Broker {
	b := &Broker{
		log:           slog.New(slog.DiscardHandler),
		capacity:      DefaultCapacity,
		topics:        map[string][]*subscription{},
		subscriptions: map[string]*subscription{},
		freed:         make(chan struct{}),
	}
	for _, o := range options {
		o(b)
	}
	return b
}

// subscription holds what one group of subscribers still has to handle.
type subscription struct {
	name          string
	queue         *dispatch.Queue
	maxDeliveries int
	held          int       // events stored: waiting, out or waiting for a retry
	dead          []*parcel // oldest first
}

// declare returns the named subscription, bound to topic.
func (b *Broker) declare(topic, name string, maxDeliveries int) *subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subscriptions[name]
	if s == nil {
		s = &subscription{name: name, queue: dispatch.NewQueue()}
		b.subscriptions[name] = s
	}
	s.maxDeliveries = maxDeliveries
	if !slices.Contains(b.topics[topic], s) {
		b.topics[topic] = append(b.topics[topic], s)
	}
	return s
}
