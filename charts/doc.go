// Package charts holds what is installed on Kubernetes (the charts hyperfleet
// and hyperfleet-crds) and the tests that it is held to: every file of values,
// rendered by both Helms, is decoded strictly, admitted by a real API server
// under restricted pod security, and closed by its network policies to all but
// the flows that are named; wrong values are refused with a reason.
//
// It needs the tools that `make tools` builds into bin/.
package charts
