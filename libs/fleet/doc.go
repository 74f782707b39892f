// Package fleet is HyperFleet's vocabulary: the resources, reports, events,
// schedule and errors that the API, the sentinels, the adapters and the jobs
// all speak of.
//
// It promises to depend on the standard library alone and to do no I/O: every
// function here is pure, and those that need the time are given it. The JSON
// that its types produce is the wire format of the API (openapi/hyperfleet.yaml)
// and of the events (openapi/asyncapi.yaml).
package fleet
