package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AdapterConfig configures one adapter: when it may run, and the Job it runs.
type AdapterConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AdapterConfigSpec `json:"spec"`
}

// AdapterConfigSpec is what an operator sets for an adapter.
type AdapterConfigSpec struct {
	// AdapterType is the name under which the adapter reports, for example dns.
	AdapterType string `json:"adapterType"`
	// ResourceTypes that the adapter handles. Default [clusters].
	ResourceTypes []string `json:"resourceTypes,omitempty"`
	// Criteria that must hold before the adapter runs.
	Criteria Criteria `json:"criteria,omitempty"`
	// HyperfleetAPI overrides the process's API.
	HyperfleetAPI *HyperfleetAPI `json:"hyperfleetAPI,omitempty"`
	// Broker overrides the process's broker.
	Broker *SubscriberBroker `json:"broker,omitempty"`
	// Retry of failed attempts.
	Retry Retry `json:"retry,omitempty"`
	// JobTemplate is what runs.
	JobTemplate JobTemplate `json:"jobTemplate"`
}

// Criteria are an adapter's preconditions.
type Criteria struct {
	// Preconditions are CEL expressions over cluster, statuses and now; all must hold.
	Preconditions []Precondition `json:"preconditions,omitempty"`
	// Dependencies are adapters that must be Complete for the same generation.
	Dependencies []string `json:"dependencies,omitempty"`
}

// Precondition is one CEL expression that must be true.
type Precondition struct {
	Expression string `json:"expression"`
}

// SubscriberBroker says where an adapter receives.
type SubscriberBroker struct {
	// Type is gcp-pubsub, rabbitmq or stub.
	Type string `json:"type"`
	// Subscription that the adapter's replicas share. Default: the config's name and "-sub".
	Subscription string `json:"subscription,omitempty"`
	// ProjectID of gcp-pubsub.
	ProjectID string `json:"projectID,omitempty"`
	// Exchange of rabbitmq.
	Exchange string `json:"exchange,omitempty"`
	// RoutingKey of rabbitmq.
	RoutingKey string `json:"routingKey,omitempty"`
	// MaxDeliveries before an event goes to the dead letters. Default 5.
	MaxDeliveries *int32 `json:"maxDeliveries,omitempty"`
}

// Retry says how often a failed attempt is followed by another.
type Retry struct {
	// Limit is how many attempts follow the first. Default 3.
	Limit *int32 `json:"limit,omitempty"`
	// Backoff between the end of an attempt and the next. Default 1m.
	Backoff *metav1.Duration `json:"backoff,omitempty"`
}

// JobTemplate shapes the Job of an attempt.
type JobTemplate struct {
	Image   string          `json:"image"`
	Command []string        `json:"command,omitempty"`
	Args    []string        `json:"args,omitempty"`
	Env     []corev1.EnvVar `json:"env,omitempty"`
	// Secrets that are mounted into the Job, by name.
	Secrets   []string                    `json:"secrets,omitempty"`
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// ServiceAccountName lets the Job use a token of that account. Default: an account without one.
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// ActiveDeadlineSeconds of the Job. Default 1800.
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// BackoffLimit is how often Kubernetes itself retries the pod. Default 3.
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`
	// TTLSecondsAfterFinished keeps a finished Job for that long. Default 86400.
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}
