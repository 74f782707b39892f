// Package rabbitmq is the driver of RabbitMQ 3.10 and later.
//
// A route is a durable topic exchange and a routing key; a subscription is a
// quorum queue bound to it, with a queue of dead letters and four that delay
// retries. Everything is declared again at every connection, or only looked at
// where the user may not declare.
//
// It promises what package broker says: an event counts as sent once a quorum
// of the broker's nodes stores it for every subscription. Publishers and
// subscribers keep their own connections, dial for ever with full jitter, and
// send again under the same id what was not confirmed. A delivery that ends
// otherwise than acknowledged is first stored anew, confirmed, and only then
// acknowledged, so that nothing is between two queues at any moment; it may be
// in both. Order is not kept.
//
// Secrets are read from files at every connection and appear nowhere else.
package rabbitmq
