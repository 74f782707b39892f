// Package e2e holds the end-to-end scenarios: journeys through the whole of
// HyperFleet as its users see it, on the stack that `hyperfleet dev` runs.
package e2e
