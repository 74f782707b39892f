package rabbitmq

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// probeQueue begins the names of the streams that [atLeastOnce] declares and
// deletes. Who may declare a subscription's queues may declare them.
func probeQueue(subscription string) string { return subscription + ".probe" }

// atLeastOnce makes sure that the broker hands on what a queue gives up at
// least once. Up to 3.11 that needs the feature flag stream_queue, without
// which it silently does so at most once. Whether the flag is set shows in
// whether a stream can be declared; asked is false for a user who may not.
func atLeastOnce(conn *amqp.Connection, subscription string) (asked bool, err error) {
	version, _ := conn.Properties["version"].(string)
	switch major, minor, known := parse(version); {
	case known && (major < 3 || major == 3 && minor < 10):
		return false, failure(health.Topology, fmt.Errorf("the broker is RabbitMQ %s; at least 3.10 is needed, which keeps dead letters at least once", version))
	case known && (major > 3 || minor >= 12):
		return true, nil // it is always set there
	}
	name := probeQueue(subscription) + "." + uuid.NewString() // replicas ask at once
	err = attempt(conn, func(ch *amqp.Channel) error {
		if _, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeStream}); err != nil {
			return err
		}
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
	switch {
	case err == nil:
		return true, nil
	case code(err) == amqp.AccessRefused:
		return false, nil
	case code(err) == 0:
		return false, failure(health.Lost, fmt.Errorf("look for the feature flag stream_queue: %w", err))
	}
	return false, failure(health.Topology, errors.Join(
		errors.New("the broker lacks the feature flag stream_queue, without which dead letters can be lost: run `rabbitmqctl enable_feature_flag stream_queue`"), err))
}

func parse(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return major, minor, err1 == nil && err2 == nil
}
