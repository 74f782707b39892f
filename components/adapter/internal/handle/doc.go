// Package handle is what an adapter does: it turns one event into a report and
// at most one Job, and one ended Job into a report.
//
// Events carry no state, so they may come twice, late or out of order. All that
// counts is what the API says now: [next] is a pure function of it. The intent
// (Running) is stored before the Job is made, and the Job's name follows from
// the attempt; so a crash at any moment leads to the same Job, never to a second
// one. What everybody needs and is away (the API, the runner) pauses the
// subscription instead of using up deliveries; an API that is broken counts as
// away, unless it fails on this resource while others go through.
//
// Preconditions gate the start of an attempt. One that has started is seen
// through, whatever becomes of them.
package handle
