package stub

import (
	"context"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Driver returns b as a process uses its broker.
func (b *Broker) Driver() broker.Driver { return driver{b} }

type driver struct{ broker *Broker }

func (d driver) Publisher(_ context.Context, r broker.Route) (broker.Publisher, error) {
	return d.broker.Publisher(r.Topic), nil
}

func (d driver) Subscriber(_ context.Context, s broker.Subscription, l broker.Limits) (broker.Subscriber, error) {
	return d.broker.Subscriber(s.Topic, s.Name, l), nil
}

func (d driver) DeadLetters(_ context.Context, s broker.Subscription) (broker.DeadLetters, error) {
	return d.broker.DeadLetters(s.Name), nil
}
