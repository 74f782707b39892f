// Package registry knows who takes part: the holders of shards, and the adapters
// with their instances and dependencies.
package registry
