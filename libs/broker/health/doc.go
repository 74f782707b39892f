// Package health is how a publisher or subscriber stands with its broker: one
// state, which the log tells when it changes, metrics show and readiness asks
// for. Every driver of a broker over the network uses it, so that operators
// learn it once.
//
// It promises that a problem which lasts is said again only now and then, and
// that every metric exists at zero from the start. What is a problem, and why,
// is the driver's business.
package health
