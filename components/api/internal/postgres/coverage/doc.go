// Package coverage says how the live shards divide the fleet: what none of them, or
// several, would publish.
package coverage
