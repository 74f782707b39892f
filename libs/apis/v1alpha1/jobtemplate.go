package v1alpha1

import corev1 "k8s.io/api/core/v1"

// JobTemplate shapes the Job of an attempt.
type JobTemplate struct {
	// Image that the Job runs.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`\S`
	Image string `json:"image"`
	// Command instead of the image's.
	// +optional
	// +listType=atomic
	Command []string `json:"command,omitempty"`
	// Args instead of the image's.
	// +optional
	// +listType=atomic
	Args []string `json:"args,omitempty"`
	// Env beside the variables that the adapter sets.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:XValidation:rule="self.all(e, !(e.name in ['CLUSTER_ID', 'RESOURCE_TYPE', 'RESOURCE_ID', 'HYPERFLEET_API', 'GENERATION', 'ATTEMPT', 'ADAPTER', 'MODE']))",message="CLUSTER_ID, RESOURCE_TYPE, RESOURCE_ID, HYPERFLEET_API, GENERATION, ATTEMPT, ADAPTER and MODE are set by the adapter"
	Env []corev1.EnvVar `json:"env,omitempty"`
	// Secrets that are mounted into the Job, by name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Secrets []string `json:"secrets,omitempty"`
	// Resources of the Job's container.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || ['cpu', 'memory'].all(n, !(n in self.requests) || !(n in self.limits) || quantity(string(self.requests[n])).compareTo(quantity(string(self.limits[n]))) <= 0)",message="a request must not be above its limit"
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// ServiceAccountName lets the Job use a token of that account. Default: an account without one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// ActiveDeadlineSeconds of the Job. Default 1800.
	// +optional
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=1
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// BackoffLimit is how often Kubernetes itself retries the pod. Default 3.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`
	// TTLSecondsAfterFinished keeps a finished Job for that long. Default 86400.
	// +optional
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}
