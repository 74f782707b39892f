package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SentinelConfig configures one shard: which resources, how often, to which topic.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=sentinelconfigs,shortName=sentinel;sc,categories=hyperfleet
// +kubebuilder:printcolumn:name="Shard",type=string,JSONPath=`.status.shard`,description="The labels of the shard's resources"
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.resourceType`
// +kubebuilder:printcolumn:name="Interval",type=string,JSONPath=`.spec.pollInterval`,description="The time between two polls"
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.matched`,description="Resources that the shard selects"
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.pending`,description="Resources that are due and whose event is not out"
// +kubebuilder:printcolumn:name="Last Poll",type=date,JSONPath=`.status.lastPollTime`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type SentinelConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SentinelConfigSpec `json:"spec"`
	// Status is written by the sentinel.
	// +optional
	Status SentinelConfigStatus `json:"status,omitzero"`
}

// SentinelConfigList is a list of SentinelConfigs.
//
// +kubebuilder:object:root=true
type SentinelConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SentinelConfig `json:"items"`
}

// SentinelConfigSpec is what an operator sets for a shard.
type SentinelConfigSpec struct {
	// ResourceType that the shard watches, for example clusters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	ResourceType string `json:"resourceType"`
	// ShardSelector says which resources belong to the shard; {} means all of them.
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="an operator must be In, NotIn, Exists or DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))",message="In and NotIn need values, Exists and DoesNotExist have none"
	ShardSelector *metav1.LabelSelector `json:"shardSelector"`
	// BackoffNotReady is how long a resource that is not Ready may stay silent. Default 10s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="must be a duration longer than 0, such as 10s"
	BackoffNotReady *metav1.Duration `json:"backoffNotReady,omitempty"`
	// BackoffReady is how long a Ready resource may stay silent. Default 30m.
	// +optional
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="must be a duration longer than 0, such as 10s"
	BackoffReady *metav1.Duration `json:"backoffReady,omitempty"`
	// PollInterval is the time between two looks at what is due. Default 5s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms')",message="must be a duration of at least 10ms, such as 5s"
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`
	// MaxEventsPerSecond bounds the shard's events; absent means no bound.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxEventsPerSecond *int32 `json:"maxEventsPerSecond,omitempty"`
	// HyperfleetAPI overrides the process's API.
	// +optional
	HyperfleetAPI *HyperfleetAPI `json:"hyperfleetAPI,omitempty"`
	// Broker overrides the process's broker.
	// +optional
	Broker *PublisherBroker `json:"broker,omitempty"`
}

// HyperfleetAPI says where the API is.
type HyperfleetAPI struct {
	// URL of the API, http or https.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",message="must be an http or https URL with a host"
	URL string `json:"url"`
	// Timeout of one request. Default 10s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="must be a duration longer than 0, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// SentinelConfigStatus is what the sentinel that leads the shard says of it.
type SentinelConfigStatus struct {
	// ObservedGeneration is the newest generation that was judged; Ready says how.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready, APIReachable, BrokerConnected, Leading, Registered and Overlapping.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Shard is the selector that runs, as text; "everything" if it selects all.
	// +optional
	Shard string `json:"shard,omitempty"`
	// LastPollTime is when the API last answered a poll, give or take half a minute.
	// +optional
	LastPollTime *metav1.Time `json:"lastPollTime,omitempty"`
	// Matched is how many resources the shard selects.
	// +optional
	Matched *int64 `json:"matched,omitempty"`
	// Pending is how many resources are due and have no event out.
	// +optional
	Pending *int64 `json:"pending,omitempty"`
}
