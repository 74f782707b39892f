// Package stub is a message broker in memory, for development in one process
// and for tests.
//
// It promises what the broker interfaces say, as a durable broker would: an
// event is stored for every subscription of its topic or for none, a full
// subscription makes publishers wait, and what was not settled waits for the
// next Receive. It carries events in their wire form, so that what does not
// survive JSON does not survive here either. It keeps nothing when the process
// ends.
package stub
