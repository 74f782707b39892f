// Package v1alpha1 holds the configuration resources of group
// hyperfleet.redhat.com/v1alpha1: SentinelConfig and AdapterConfig.
//
// A file and the Kubernetes API carry the same schema. Load reads files
// strictly; Validate names every problem at once. The package judges form only:
// whether an expression compiles is known to the room that compiles it.
package v1alpha1
