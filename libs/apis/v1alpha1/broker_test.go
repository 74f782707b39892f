package v1alpha1

import "testing"

func TestABrokerHasTheFieldsOfItsTypeAlone(t *testing.T) {
	secret := &SecretReference{Name: "rabbit-us-east"}
	for name, tt := range map[string]struct {
		broker interface{ Validate() error }
		want   string // "" = valid
	}{
		"pubsub with everything":           {PublisherBroker{Type: "gcp-pubsub", Topic: "t", ProjectID: "p"}, ""},
		"pubsub with an exchange":          {PublisherBroker{Type: "gcp-pubsub", Exchange: "e"}, "broker.exchange: Forbidden: a broker of type gcp-pubsub has none"},
		"pubsub with a secret":             {PublisherBroker{Type: "gcp-pubsub", SecretRef: secret}, "broker.secretRef: Forbidden: a broker of type gcp-pubsub has none"},
		"rabbitmq with everything":         {PublisherBroker{Type: "rabbitmq", Exchange: "e", RoutingKey: "k", SecretRef: secret}, ""},
		"rabbitmq with a nameless secret":  {PublisherBroker{Type: "rabbitmq", Exchange: "e", RoutingKey: "k", SecretRef: &SecretReference{}}, "broker.secretRef.name: Required value: the name of a Secret"},
		"rabbitmq with a path as a secret": {PublisherBroker{Type: "rabbitmq", Exchange: "e", RoutingKey: "k", SecretRef: &SecretReference{Name: ".."}}, "broker.secretRef.name: Invalid value: \"..\""},
		"rabbitmq with a topic":            {PublisherBroker{Type: "rabbitmq", Exchange: "e", RoutingKey: "k", Topic: "t"}, "broker.topic: Forbidden: a broker of type rabbitmq has none"},
		"stub with a topic":                {PublisherBroker{Type: "stub", Topic: "t"}, ""},
		"stub with a project":              {PublisherBroker{Type: "stub", ProjectID: "p"}, "broker.projectID: Forbidden: a broker of type stub has none"},

		"an adapter on pubsub":                         {SubscriberBroker{Type: "gcp-pubsub", Subscription: "s", ProjectID: "p"}, ""},
		"an adapter on pubsub with a routing key":      {SubscriberBroker{Type: "gcp-pubsub", RoutingKey: "k"}, "broker.routingKey: Forbidden: a broker of type gcp-pubsub has none"},
		"an adapter on rabbitmq":                       {SubscriberBroker{Type: "rabbitmq", Exchange: "e", RoutingKey: "k", SecretRef: secret}, ""},
		"an adapter on rabbitmq without a routing key": {SubscriberBroker{Type: "rabbitmq", Exchange: "e"}, "broker.routingKey: Required value: the routing key of the events, such as clusters.changed"},
		"an adapter on rabbitmq with a project":        {SubscriberBroker{Type: "rabbitmq", Exchange: "e", RoutingKey: "k", ProjectID: "p"}, "broker.projectID: Forbidden: a broker of type rabbitmq has none"},
		"an adapter on the stub with an exchange":      {SubscriberBroker{Type: "stub", Exchange: "e"}, "broker.exchange: Forbidden: a broker of type stub has none"},
		"an adapter on no known broker":                {SubscriberBroker{Type: "kafka"}, "broker.type: Unsupported value: \"kafka\": supported values: \"gcp-pubsub\", \"rabbitmq\", \"stub\""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tt.broker.Validate(); err != nil {
				got = err.Error()
			}
			if len(got) > len(tt.want) && tt.want != "" {
				got = got[:len(tt.want)] // a reason may follow
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
