// Package sentinel is the sentinel's face: it runs one shard loop for each
// SentinelConfig, which asks the API what is due and publishes an event for it.
//
// It promises one readiness check and a full set of metrics per shard from the
// start, and that a configuration which cannot work is refused before anything
// runs, with every problem named. Which broker an event goes to is the
// caller's: it passes a function that makes publishers.
package sentinel
