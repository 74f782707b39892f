// Package reconcile is the one place where HyperFleet's events are built and
// read: CloudEvents 1.0 that ask adapters to look at a resource again.
//
// It promises that what Event builds Decode accepts, and that Decode names
// every problem of what it refuses. It refuses what an adapter cannot act on
// or must not trust. Reasons and data members that it does not know it lets
// pass: publishers are upgraded before subscribers, and a newer publisher must
// not fill the dead letters of an older adapter.
package reconcile
