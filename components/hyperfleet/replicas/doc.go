// Package replicas tests sentinels that share the shards of a fleet, as the
// processes that they are: on a real Kubernetes, PostgreSQL and RabbitMQ, under
// signals. Every event is counted.
package replicas
