package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Types of broker.
const (
	brokerPubSub   = "gcp-pubsub"
	brokerRabbitMQ = "rabbitmq"
	brokerStub     = "stub"
)

// Defaults returns b with everything set that an operator may leave out. config
// is the name of the AdapterConfig.
func (b SubscriberBroker) Defaults(config string) SubscriberBroker {
	if b.Subscription == "" {
		b.Subscription = config + "-sub"
	}
	b.MaxDeliveries = or(b.MaxDeliveries, DefaultMaxDeliveries)
	return b
}

// Validate names every problem of b on its own, for a process's fallback.
func (b PublisherBroker) Validate() error {
	return b.validate(field.NewPath("broker")).ToAggregate()
}

func (b PublisherBroker) validate(path *field.Path) field.ErrorList {
	f := brokerForm{path: path, kind: b.Type}
	f.refuse("topic", b.Topic, brokerRabbitMQ)
	f.refuse("projectID", b.ProjectID, brokerRabbitMQ, brokerStub)
	f.rabbitmq(b.Exchange, b.RoutingKey, b.SecretRef)
	return f.errs
}

// Validate names every problem of b on its own, for a process's fallback.
func (b SubscriberBroker) Validate() error {
	return b.validate(field.NewPath("broker")).ToAggregate()
}

func (b SubscriberBroker) validate(path *field.Path) field.ErrorList {
	f := brokerForm{path: path, kind: b.Type}
	f.refuse("projectID", b.ProjectID, brokerRabbitMQ, brokerStub)
	f.rabbitmq(b.Exchange, b.RoutingKey, b.SecretRef)
	return append(f.errs, atLeast(path.Child("maxDeliveries"), b.MaxDeliveries, 1)...)
}

// brokerForm gathers what does not fit a type of broker.
type brokerForm struct {
	path *field.Path
	kind string
	errs field.ErrorList
}

// refuse names a field that brokers of these types do not have.
func (f *brokerForm) refuse(name, value string, kinds ...string) {
	for _, kind := range kinds {
		if kind == f.kind && value != "" {
			f.errs = append(f.errs, field.Forbidden(f.path.Child(name), fmt.Sprintf("a broker of type %s has none", kind)))
		}
	}
}

func (f *brokerForm) require(name, value, what string) {
	if value == "" {
		f.errs = append(f.errs, field.Required(f.path.Child(name), what))
	}
}

// rabbitmq judges the type, and what only RabbitMQ has.
func (f *brokerForm) rabbitmq(exchange, routingKey string, secret *SecretReference) {
	switch f.kind {
	case brokerRabbitMQ:
		f.require("exchange", exchange, "the topic exchange of the events")
		f.require("routingKey", routingKey, "the routing key of the events, such as clusters.changed")
	case brokerPubSub, brokerStub:
		f.refuse("exchange", exchange, f.kind)
		f.refuse("routingKey", routingKey, f.kind)
		if secret != nil {
			f.refuse("secretRef", "a reference", f.kind)
		}
	default:
		f.errs = append(f.errs, field.NotSupported(f.path.Child("type"), f.kind, []string{brokerPubSub, brokerRabbitMQ, brokerStub}))
	}
	if secret == nil {
		return
	}
	name := f.path.Child("secretRef", "name")
	if secret.Name == "" {
		f.errs = append(f.errs, field.Required(name, "the name of a Secret"))
		return
	}
	for _, msg := range validation.IsDNS1123Subdomain(secret.Name) {
		f.errs = append(f.errs, field.Invalid(name, secret.Name, msg))
	}
}
