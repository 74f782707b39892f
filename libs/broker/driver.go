package broker

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Driver is one kind of broker, as a process uses it. Its methods do not wait
// for the broker: what they return connects by itself, and goes on trying.
type Driver interface {
	Publisher(ctx context.Context, r Route) (Publisher, error)
	// Subscriber returns a subscriber of s, which is declared at the latest
	// when Receive has connected.
	Subscriber(ctx context.Context, s Subscription, l Limits) (Subscriber, error)
	DeadLetters(ctx context.Context, s Subscription) (DeadLetters, error)
}

// Open makes a driver. A main package names those that its program has.
type Open func(Settings, Deps) (Driver, error)

// Deps are what a driver works with.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Route says which way events go from publishers to subscriptions.
type Route struct {
	ProjectID  string // of gcp-pubsub
	Topic      string // of gcp-pubsub and stub
	Exchange   string // of rabbitmq
	RoutingKey string // of rabbitmq
}

// Subscription is one subscription of a route.
type Subscription struct {
	Route
	Name string
}

// Checker is implemented by publishers and subscribers that may be without
// their broker for a while.
type Checker interface {
	// Check returns nil while the broker can be worked with, else what is wrong
	// in words for an operator.
	Check(ctx context.Context) error
}
