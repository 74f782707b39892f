package dev

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Where the stack's events go on a broker that others may use too.
const (
	exchange   = "hyperfleet-dev." // and the resource type
	routingKey = ".changed"        // after the resource type
	project    = "hyperfleet-dev"
	localURL   = "amqp://127.0.0.1:5672/"

	emulatorHost = "PUBSUB_EMULATOR_HOST" // as every Pub/Sub client calls it
)

// kind is the type of the broker that c asks for.
func (c Config) kind() string {
	switch c.Broker {
	case "":
		return broker.TypeStub
	case "pubsub":
		return broker.TypePubSub
	}
	return c.Broker
}

// validateBroker says whether the program has the broker that c asks for.
func (c Config) validateBroker() error {
	if kind := c.kind(); kind != broker.TypeStub && c.Drivers[kind] == nil {
		names := append(slices.Sorted(maps.Keys(c.Drivers)), broker.TypeStub)
		return fmt.Errorf("--broker %q: there is %s", c.Broker, strings.Join(names, ", "))
	}
	if c.kind() == broker.TypePubSub && os.Getenv(emulatorHost) == "" {
		return fmt.Errorf("--broker %s: set %s to the address of an emulator, such as 127.0.0.1:8085; "+
			"without it the events would go to Google's servers", c.Broker, emulatorHost)
	}
	return c.Brokers.Validate()
}

// openBrokers returns the drivers of the stack, of which it uses one. Only the
// one in memory is made here: a main package names the others.
func (s *stack) openBrokers() *broker.Drivers {
	has := map[string]broker.Open{broker.TypeStub: func(broker.Settings, broker.Deps) (broker.Driver, error) {
		return stub.New(stub.WithLogger(s.log)).Driver(), nil
	}}
	maps.Copy(has, s.cfg.Drivers)
	settings := s.cfg.Brokers
	settings.CreateTopology = true
	if s.cfg.kind() == broker.TypeRabbitMQ && settings.URL == "" && settings.URLFile == "" {
		settings.URL = localURL
	}
	return broker.NewDrivers(has, settings, broker.Deps{Log: s.log, Registry: s.registry})
}

// subscribeAt has an adapter subscribe at the stack's broker.
func (c Config) subscribeAt(a *v1alpha1.AdapterConfig) {
	b := &v1alpha1.SubscriberBroker{Type: c.kind(), Subscription: a.Spec.Broker.Subscription}
	switch b.Type {
	case broker.TypeRabbitMQ:
		b.Exchange, b.RoutingKey = exchange+string(fleet.Clusters), string(fleet.Clusters)+routingKey
	case broker.TypePubSub:
		b.ProjectID = project
	}
	a.Spec.Broker = b
}

// publishAt has a sentinel publish to the stack's broker.
func (c Config) publishAt(s *v1alpha1.SentinelConfig) {
	b := &v1alpha1.PublisherBroker{Type: c.kind()}
	switch b.Type {
	case broker.TypeRabbitMQ:
		b.Exchange, b.RoutingKey = exchange+s.Spec.ResourceType, s.Spec.ResourceType+routingKey
	case broker.TypePubSub:
		b.ProjectID, b.Topic = project, s.Spec.Broker.Topic
	default:
		b.Topic = s.Spec.Broker.Topic
	}
	s.Spec.Broker = b
}
