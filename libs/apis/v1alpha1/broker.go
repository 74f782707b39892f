package v1alpha1

// PublisherBroker says where a sentinel publishes.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'gcp-pubsub' || !(has(self.exchange) || has(self.routingKey))",message="a broker of type gcp-pubsub has no exchange and no routingKey"
// +kubebuilder:validation:XValidation:rule="self.type != 'rabbitmq' || (has(self.exchange) && has(self.routingKey))",message="a broker of type rabbitmq needs exchange and routingKey"
// +kubebuilder:validation:XValidation:rule="self.type != 'rabbitmq' || !(has(self.topic) || has(self.projectID))",message="a broker of type rabbitmq has no topic and no projectID"
// +kubebuilder:validation:XValidation:rule="self.type != 'stub' || !(has(self.projectID) || has(self.exchange) || has(self.routingKey))",message="a broker of type stub has no projectID, no exchange and no routingKey"
// +kubebuilder:validation:XValidation:rule="self.type == 'rabbitmq' || !has(self.secretRef)",message="only a broker of type rabbitmq has a secretRef"
type PublisherBroker struct {
	// Type is gcp-pubsub, rabbitmq or stub.
	// +kubebuilder:validation:Enum=gcp-pubsub;rabbitmq;stub
	Type string `json:"type"`
	// Topic of gcp-pubsub and stub. Default: the resource type's topic.
	// +optional
	// +kubebuilder:validation:MinLength=1
	Topic string `json:"topic,omitempty"`
	// ProjectID of gcp-pubsub.
	// +optional
	// +kubebuilder:validation:MinLength=1
	ProjectID string `json:"projectID,omitempty"`
	// Exchange of rabbitmq.
	// +optional
	// +kubebuilder:validation:MinLength=1
	Exchange string `json:"exchange,omitempty"`
	// RoutingKey of rabbitmq.
	// +optional
	// +kubebuilder:validation:MinLength=1
	RoutingKey string `json:"routingKey,omitempty"`
	// SecretRef names the Secret with the broker's address and credentials. Default: the process's.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// SubscriberBroker says where an adapter receives.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'rabbitmq' || (has(self.exchange) && has(self.routingKey))",message="a broker of type rabbitmq needs exchange and routingKey"
// +kubebuilder:validation:XValidation:rule="self.type == 'rabbitmq' || !(has(self.exchange) || has(self.routingKey))",message="only a broker of type rabbitmq has exchange and routingKey"
// +kubebuilder:validation:XValidation:rule="self.type == 'gcp-pubsub' || !has(self.projectID)",message="only a broker of type gcp-pubsub has a projectID"
// +kubebuilder:validation:XValidation:rule="self.type == 'rabbitmq' || !has(self.secretRef)",message="only a broker of type rabbitmq has a secretRef"
type SubscriberBroker struct {
	// Type is gcp-pubsub, rabbitmq or stub.
	// +kubebuilder:validation:Enum=gcp-pubsub;rabbitmq;stub
	Type string `json:"type"`
	// Subscription that the adapter's replicas share. Default: the config's name and "-sub".
	// +optional
	// +kubebuilder:validation:MinLength=1
	Subscription string `json:"subscription,omitempty"`
	// ProjectID of gcp-pubsub.
	// +optional
	// +kubebuilder:validation:MinLength=1
	ProjectID string `json:"projectID,omitempty"`
	// Exchange of rabbitmq.
	// +optional
	// +kubebuilder:validation:MinLength=1
	Exchange string `json:"exchange,omitempty"`
	// RoutingKey of rabbitmq.
	// +optional
	// +kubebuilder:validation:MinLength=1
	RoutingKey string `json:"routingKey,omitempty"`
	// MaxDeliveries before an event goes to the dead letters. Default 5.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	MaxDeliveries *int32 `json:"maxDeliveries,omitempty"`
	// SecretRef names the Secret with the broker's address and credentials. Default: the process's.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// SecretReference names a Secret of the config's namespace. Nobody reads it
// through the Kubernetes API: it is mounted into the process, as a folder of
// this name in the process's broker secrets directory. Its keys are url,
// username, password, ca.crt, tls.crt and tls.key; what is absent comes from
// the process's configuration.
type SecretReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Of is the name of the Secret, "" if there is none.
func (r *SecretReference) Of() string {
	if r == nil {
		return ""
	}
	return r.Name
}
