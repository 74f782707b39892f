// Package v1alpha1 holds the configuration resources of group
// hyperfleet.redhat.com/v1alpha1: SentinelConfig and AdapterConfig.
//
// A file and the Kubernetes API carry the same schema. Decode reads files
// strictly; Validate names every problem at once. The package judges form only:
// whether an expression compiles is known to the room that compiles it. The
// CustomResourceDefinitions in crds/ and the copies are generated from the
// markers at the types; what a marker can say the API server refuses by itself.
//
// +kubebuilder:object:generate=true
// +groupName=hyperfleet.redhat.com
package v1alpha1
