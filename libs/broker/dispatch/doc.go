// Package dispatch is how every driver's subscriber consumes: it hands fetched
// messages to the handler within the concurrency bound, never two of one
// subject at once, slowly while the handler pauses, and turns a crash of the
// handler into a counted delivery.
//
// It promises that every message which it hands out is settled exactly once,
// and that Run leaves nothing running behind. What settling means, and where
// messages come from, is the driver's business: it puts messages into a
// [Queue], bounded by its own window, and gives each a settle function.
package dispatch
