// Package client speaks to the HyperFleet API.
//
// It promises that every error is a [*fleet.Error] — what the API answered, or
// [fleet.Unavailable] where it could not be reached or did not answer in time —
// except the caller's own ctx.Err(). It reads bounded amounts, keeps
// connections alive, and never tries again: when to retry is the caller's to
// know.
package client
