// Package operator has the engine run the SentinelConfigs of a namespace, and
// tells on each of them how its shard is doing.
//
// It promises that what it reads from Kubernetes only steers: without the API
// server the shards that are known go on for as long as they are led. A config
// that is not valid is told on the object while the last good one goes on. Only
// the replica that leads a shard writes its status, and only when something
// changed that people want to see. It reads SentinelConfigs, writes their status
// and events, and asks Kubernetes for nothing else.
package operator
