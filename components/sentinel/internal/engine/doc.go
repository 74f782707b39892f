// Package engine runs the shards that are wanted: desired SentinelConfigs go in,
// running shards come out.
//
// It promises that a changed config takes effect without a restart of the
// process: what the shard has in flight ends and is recorded first, and the
// connection to the broker stays unless its own settings changed. A shard runs
// only while its [Owner] lets this replica run it. What the configs are, whether
// they are valid and who wants them is the caller's to say.
package engine
