package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// Window is how many events one publisher has under way: sent, and not yet
// confirmed. Callers beyond it wait with their event.
const Window = 256

// driver makes publishers and subscribers of one broker.
type driver struct {
	dialer dialer
	log    *slog.Logger
	meters *health.Meters

	// queueArguments are added to those of a subscription's queue; tests make it small.
	queueArguments map[string]any
}

// Open returns the driver. It connects to nothing yet.
func Open(s broker.Settings, deps broker.Deps) (broker.Driver, error) {
	return open(s, deps)
}

func open(s broker.Settings, deps broker.Deps) (*driver, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	d := dialer{settings: s}
	if s.URLFile == "" { // what a file says may change until it is needed
		if _, err := d.address(); err != nil {
			return nil, err
		}
	}
	m, err := health.Register(deps.Registry)
	if err != nil {
		return nil, fmt.Errorf("register the broker's metrics: %w", err)
	}
	return &driver{dialer: d, log: deps.Log, meters: m}, nil
}

// Publisher returns a publisher that connects by itself.
func (d *driver) Publisher(_ context.Context, r broker.Route) (broker.Publisher, error) {
	if err := complete(r); err != nil {
		return nil, err
	}
	return newPublisher(d, r), nil
}

// Subscriber returns a subscriber that connects when it receives.
func (d *driver) Subscriber(_ context.Context, s broker.Subscription, l broker.Limits) (broker.Subscriber, error) {
	if err := errors.Join(complete(s.Route), named(s)); err != nil {
		return nil, err
	}
	return newSubscriber(d, s, l.Defaults()), nil
}

// DeadLetters returns the dead letters of a subscription, each call to which
// connects anew.
func (d *driver) DeadLetters(_ context.Context, s broker.Subscription) (broker.DeadLetters, error) {
	if err := named(s); err != nil {
		return nil, err
	}
	return &deadLetters{driver: d, subscription: s.Name}, nil
}

func complete(r broker.Route) error {
	if r.Exchange == "" || r.RoutingKey == "" {
		return errors.New("rabbitmq: broker.exchange and broker.routingKey: set both")
	}
	return nil
}

func named(s broker.Subscription) error {
	if s.Name == "" {
		return errors.New("rabbitmq: broker.subscription: set it")
	}
	return nil
}
