// Package operator follows one AdapterConfig in Kubernetes and tells in its
// status how it fares.
//
// What the conditions say is a pure function of what is known; the status is
// written when that changes, and by the replica that leads.
package operator
