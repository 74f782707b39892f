package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// emulatorHost names the emulator's address to every Pub/Sub client.
const emulatorHost = "PUBSUB_EMULATOR_HOST"

// Open makes a driver of Pub/Sub. It connects to nothing yet.
func Open(s broker.Settings, deps broker.Deps) (broker.Driver, error) {
	d, err := open(s, deps, os.Getenv(emulatorHost))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// driver is what publishers, subscribers and dead letters share.
type driver struct {
	emulator string // host:port, or "" for Google's servers
	create   bool
	log      *slog.Logger
	meters   *health.Meters
}

func open(s broker.Settings, deps broker.Deps, emulator string) (*driver, error) {
	log := deps.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m, err := health.Register(deps.Registry)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of %s: %w", broker.TypePubSub, err)
	}
	return &driver{emulator: emulator, create: s.CreateTopology, log: log, meters: m}, nil
}

// Publisher returns a publisher of r's topic, which connects when it is used.
func (d *driver) Publisher(_ context.Context, r broker.Route) (broker.Publisher, error) {
	if err := validate(r); err != nil {
		return nil, err
	}
	return newPublisher(d, r.ProjectID, r.Topic), nil
}

// Subscriber returns a subscriber of s, which connects when it receives.
func (d *driver) Subscriber(_ context.Context, s broker.Subscription, l broker.Limits) (broker.Subscriber, error) {
	if err := validateSubscription(s); err != nil {
		return nil, err
	}
	return newSubscriber(d, newPlan(s), l.Defaults()), nil
}

// DeadLetters returns the dead letters of s, which need not exist yet.
func (d *driver) DeadLetters(_ context.Context, s broker.Subscription) (broker.DeadLetters, error) {
	if err := validateSubscription(s); err != nil {
		return nil, err
	}
	return &deadLetters{driver: d, plan: newPlan(s), notices: &notices{log: d.log}, most: mostLetters, bytes: lettersBytes}, nil
}

func validate(r broker.Route) error {
	var problems []error
	if r.ProjectID == "" {
		problems = append(problems, errors.New("projectID: set it to the project that the topic is in"))
	}
	if r.Topic == "" {
		problems = append(problems, errors.New("topic: must not be empty"))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("broker %s: %w", broker.TypePubSub, err)
	}
	return nil
}

func validateSubscription(s broker.Subscription) error {
	err := validate(s.Route)
	if s.Name == "" {
		err = errors.Join(err, fmt.Errorf("broker %s: subscription: must not be empty", broker.TypePubSub))
	}
	return err
}
