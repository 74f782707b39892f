// Package rehearsal lets an adapter's handler work on resources that are files:
// a stage answers for the API and for who runs Jobs, and notes what it was asked.
//
// The decisions are those of the handler itself. Nothing is read or changed
// outside the process.
package rehearsal
