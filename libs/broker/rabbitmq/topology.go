package rabbitmq

import (
	"errors"
	"fmt"
	"maps"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// crashLimit is how often the broker itself delivers one event that nobody
// settles, because each time the connection or the process was lost, before it
// gives it up. It is the default of RabbitMQ 4. Deliveries that handlers end
// are counted by the subscriber, against its own limit.
const crashLimit = 20

// noLimit is more deliveries than there will be. Without a limit of its own a
// queue has the broker's, and each look at a dead letter is a delivery.
const noLimit = 1<<31 - 1

// delays are the steps in which retries wait.
var delays = [...]time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute}

func deadQueue(subscription string) string { return subscription + ".dead" }

func delayQueue(subscription string, d time.Duration) string {
	return fmt.Sprintf("%s.delay.%s", subscription, d)
}

// queue is one queue to declare.
type queue struct {
	name      string
	arguments amqp.Table
}

// queues returns the queues of a subscription. Each hands on what it gives up
// only once the next has confirmed it.
func queues(subscription string, extra map[string]any) []queue {
	handsOnTo := func(next string) amqp.Table {
		return amqp.Table{
			amqp.QueueTypeArg:           amqp.QueueTypeQuorum,
			"x-dead-letter-exchange":    "", // straight into the named queue
			"x-dead-letter-routing-key": next,
			"x-dead-letter-strategy":    "at-least-once",
			"x-overflow":                "reject-publish", // at-least-once needs it
		}
	}
	events := handsOnTo(deadQueue(subscription))
	events["x-delivery-limit"] = int64(crashLimit)
	maps.Copy(events, extra)
	all := []queue{
		{deadQueue(subscription), amqp.Table{
			amqp.QueueTypeArg:  amqp.QueueTypeQuorum,
			"x-message-ttl":    broker.DeadLetterRetention.Milliseconds(),
			"x-delivery-limit": int64(noLimit),
		}},
		{subscription, events},
	}
	for _, d := range delays {
		arguments := handsOnTo(subscription)
		arguments["x-message-ttl"] = d.Milliseconds()
		all = append(all, queue{delayQueue(subscription, d), arguments})
	}
	return all
}

// declareRoute makes sure of the exchange.
func declareRoute(conn *amqp.Connection, r broker.Route) error {
	return declare(conn, fmt.Sprintf("exchange %q", r.Exchange),
		func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(r.Exchange, amqp.ExchangeTopic, true, false, false, false, nil)
		},
		func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive(r.Exchange, amqp.ExchangeTopic, true, false, false, false, nil)
		})
}

// declareSubscription makes sure of everything that a subscription needs.
func declareSubscription(conn *amqp.Connection, s broker.Subscription, extra map[string]any) error {
	if err := declareRoute(conn, s.Route); err != nil {
		return err
	}
	for _, q := range queues(s.Name, extra) {
		if err := declareQueue(conn, q); err != nil {
			return err
		}
	}
	bound := func(ch *amqp.Channel) error { return ch.QueueBind(s.Name, s.RoutingKey, s.Exchange, false, nil) }
	// Whether a binding exists cannot be asked; a user who may not bind is
	// trusted to have been given a bound queue.
	return declare(conn, fmt.Sprintf("binding of queue %q to exchange %q", s.Name, s.Exchange), bound,
		func(*amqp.Channel) error { return nil })
}

func declareQueue(conn *amqp.Connection, q queue) error {
	return declare(conn, fmt.Sprintf("queue %q", q.name),
		func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(q.name, true, false, false, false, q.arguments)
			return err
		},
		func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(q.name, true, false, false, false, nil)
			return err
		})
}

// declare makes one thing, or where the user may not, looks whether it is there.
func declare(conn *amqp.Connection, what string, do, look func(*amqp.Channel) error) error {
	err := attempt(conn, do)
	switch {
	case code(err) == amqp.AccessRefused:
		if err := attempt(conn, look); code(err) == amqp.NotFound {
			return failure(health.Topology, fmt.Errorf("%s does not exist, and the user has no permission to create it: create it or grant the permission: %w", what, err))
		} else if err != nil {
			return declareError(what, err)
		}
		return nil
	case code(err) == amqp.PreconditionFailed:
		return failure(health.Topology, fmt.Errorf("%s exists with other properties than HyperFleet needs: delete it when it is empty, or choose another name: %w", what, err))
	case err != nil:
		return declareError(what, err)
	}
	return nil
}

func declareError(what string, err error) error {
	if code(err) == 0 {
		return failure(health.Lost, fmt.Errorf("declare %s: %w", what, err))
	}
	return failure(health.Topology, fmt.Errorf("declare %s: %w", what, err))
}

// attempt does something on a channel of its own, because an error closes it.
func attempt(conn *amqp.Connection, do func(*amqp.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }() // an error has closed it already
	return do(ch)
}

// code returns the number of an error that the broker sent, or 0.
func code(err error) int {
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		return e.Code
	}
	return 0
}
