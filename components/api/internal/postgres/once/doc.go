// Package once answers a request that comes again under its Idempotency-Key as it
// was answered before, for a day.
package once
