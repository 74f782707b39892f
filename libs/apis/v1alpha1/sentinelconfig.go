package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SentinelConfig configures one shard: which resources, how often, to which topic.
type SentinelConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SentinelConfigSpec `json:"spec"`
}

// SentinelConfigSpec is what an operator sets for a shard.
type SentinelConfigSpec struct {
	// ResourceType that the shard watches, for example clusters.
	ResourceType string `json:"resourceType"`
	// ShardSelector says which resources belong to the shard; {} means all of them.
	ShardSelector *metav1.LabelSelector `json:"shardSelector"`
	// BackoffNotReady is how long a resource that is not Ready may stay silent. Default 10s.
	BackoffNotReady *metav1.Duration `json:"backoffNotReady,omitempty"`
	// BackoffReady is how long a Ready resource may stay silent. Default 30m.
	BackoffReady *metav1.Duration `json:"backoffReady,omitempty"`
	// PollInterval is the time between two looks at what is due. Default 5s.
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`
	// MaxEventsPerSecond bounds the shard's events; absent means no bound.
	MaxEventsPerSecond *int32 `json:"maxEventsPerSecond,omitempty"`
	// HyperfleetAPI overrides the process's API.
	HyperfleetAPI *HyperfleetAPI `json:"hyperfleetAPI,omitempty"`
	// Broker overrides the process's broker.
	Broker *PublisherBroker `json:"broker,omitempty"`
}

// HyperfleetAPI says where the API is.
type HyperfleetAPI struct {
	URL string `json:"url"`
	// Timeout of one request. Default 10s.
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// PublisherBroker says where a sentinel publishes.
type PublisherBroker struct {
	// Type is gcp-pubsub, rabbitmq or stub.
	Type string `json:"type"`
	// Topic of gcp-pubsub and stub. Default: the resource type's topic.
	Topic string `json:"topic,omitempty"`
	// ProjectID of gcp-pubsub.
	ProjectID string `json:"projectID,omitempty"`
	// Exchange of rabbitmq.
	Exchange string `json:"exchange,omitempty"`
	// RoutingKey of rabbitmq.
	RoutingKey string `json:"routingKey,omitempty"`
}
