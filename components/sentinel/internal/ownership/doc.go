// Package ownership gives each shard to one of the replicas that claim it.
//
// A shard has one Lease, which client-go's LeaderElector claims, renews and
// gives back; each replica has another that says that it is there and which
// shards it claims. Replicas rank themselves for a shard by rendezvous hashing:
// a free shard goes to the best one that lives, because the others claim later,
// and one that leads steps down for a better one that has come to stay.
//
// It promises that a Lease is given back only when the work under it has ended,
// that who must not be sure of leading any more is told so on its own monotonic
// clock, before anybody else can claim, and that a lost API server costs no more
// than leadership. It does not promise mutual exclusion: a Lease is not a fence.
// A process that is halted between asking whether it leads and acting on it
// acts once more when it goes on, whoever leads by then.
package ownership
