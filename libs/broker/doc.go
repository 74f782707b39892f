// Package broker is how events travel: the interfaces between HyperFleet and a
// message broker, in terms of CloudEvents.
//
// It promises at-least-once delivery to every subscription of a topic, and that
// nothing unconfirmed counts as sent. It does not promise order, and events
// carry no state that would need it. Drivers live in sub-packages; each passes
// the conformance suite in brokertest. A driver is linked only where a main
// package names it.
package broker
