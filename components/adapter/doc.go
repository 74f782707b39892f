// Package adapter runs one adapter: it receives reconcile events, judges
// whether the adapter may start, makes one Job per attempt, and reports to the
// API what becomes of it.
//
// What an adapter does is configuration (an AdapterConfig) and the image or
// function that its Jobs run; the code is the same for all. The adapter keeps
// no state that the API or the runner of Jobs does not have: it may be ended at
// any moment and started again elsewhere.
package adapter
