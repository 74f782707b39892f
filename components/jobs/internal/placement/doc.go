// Package placement chooses the management cluster that hosts a cluster's
// control plane.
//
// The choice is a pure function of the cluster, the inventory and what is
// already assigned: filters first, then the score. A cluster that has a place
// keeps it as long as the place is right. Assignments are counted in a file
// under a lock, so that capacity holds among jobs that run at once.
package placement
