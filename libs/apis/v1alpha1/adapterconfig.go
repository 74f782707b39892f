package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AdapterConfig configures one adapter: when it may run, and the Job it runs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=adapterconfigs,shortName=adapter;ac,categories=hyperfleet
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.adapterType`
// +kubebuilder:printcolumn:name="Resources",type=string,JSONPath=`.spec.resourceTypes`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.spec.jobTemplate.image`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AdapterConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AdapterConfigSpec `json:"spec"`
	// Status is written by the adapter.
	// +optional
	Status AdapterConfigStatus `json:"status,omitzero"`
}

// AdapterConfigList is a list of AdapterConfigs.
//
// +kubebuilder:object:root=true
type AdapterConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AdapterConfig `json:"items"`
}

// AdapterConfigSpec is what an operator sets for an adapter.
//
// +kubebuilder:validation:XValidation:rule="!has(self.criteria) || !has(self.criteria.dependencies) || !(self.adapterType in self.criteria.dependencies)",message="criteria.dependencies: an adapter cannot depend on itself"
type AdapterConfigSpec struct {
	// AdapterType is the name under which the adapter reports, for example dns.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	AdapterType string `json:"adapterType"`
	// ResourceTypes that the adapter handles. Default [clusters].
	// +optional
	// +listType=set
	// +kubebuilder:default={clusters}
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	ResourceTypes []string `json:"resourceTypes,omitempty"`
	// Criteria that must hold before the adapter runs.
	// +optional
	Criteria Criteria `json:"criteria,omitempty"`
	// HyperfleetAPI overrides the process's API.
	// +optional
	HyperfleetAPI *HyperfleetAPI `json:"hyperfleetAPI,omitempty"`
	// Broker overrides the process's broker.
	// +optional
	Broker *SubscriberBroker `json:"broker,omitempty"`
	// Retry of failed attempts.
	// +optional
	// +kubebuilder:default={}
	Retry Retry `json:"retry,omitempty"`
	// Recheck of resources for which the adapter is Complete. Default: none.
	// +optional
	Recheck *Recheck `json:"recheck,omitempty"`
	// JobTemplate is what runs.
	JobTemplate JobTemplate `json:"jobTemplate"`
	// Deletion is what runs when a resource is deleted. Default: nothing.
	// +optional
	Deletion *Deletion `json:"deletion,omitempty"`
}

// Criteria are an adapter's preconditions.
type Criteria struct {
	// Preconditions are CEL expressions over cluster, statuses and now; all must hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Preconditions []Precondition `json:"preconditions,omitempty"`
	// Dependencies are adapters that must be Complete for the same generation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Dependencies []string `json:"dependencies,omitempty"`
}

// Precondition is one CEL expression that must be true.
type Precondition struct {
	// Expression in CEL, for example cluster.status.phase != 'Ready'.
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`\S`
	Expression string `json:"expression"`
}

// Retry says how often a failed attempt is followed by another.
type Retry struct {
	// Limit is how many attempts follow the first. Default 3.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	Limit *int32 `json:"limit,omitempty"`
	// Backoff between the end of an attempt and the next. Default 1m.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('720h')",message="must be a duration longer than 0 and at most 720h, such as 1m"
	Backoff *metav1.Duration `json:"backoff,omitempty"`
}

// Recheck says when the Job runs again, to look whether what it did still holds.
type Recheck struct {
	// Every is how long after the last success or check, for example 24h.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="must be a duration longer than 0, such as 10s"
	Every *metav1.Duration `json:"every"`
}

// Deletion is the adapter's part in the deletion of a resource.
type Deletion struct {
	// JobTemplate is what undoes what the adapter did.
	JobTemplate JobTemplate `json:"jobTemplate"`
}

// AdapterConfigStatus is what the adapter says of its configuration.
type AdapterConfigStatus struct {
	// ObservedGeneration is the newest generation that was judged; Ready says how.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready, BrokerConnected, APIReachable and PreconditionsValid.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
