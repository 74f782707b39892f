// Package shard is the sentinel's loop over one shard: it asks the API what is
// due, publishes an event for each, and records what the broker confirmed.
//
// It promises that polls never overlap; that what was published is not
// published again within its backoff by this process, whether or not the API
// records it; that the shard stays within its event budget, which the woken and
// the expired share so that neither starves; that what it keeps is bounded; and
// that Run ends within eight seconds, with everything in flight finished and
// recorded as far as broker and API let it. An API or a broker that fails never
// reads as "nothing due". It keeps nothing across restarts: a restart costs at
// most the unrecorded batch once more.
//
// It registers the shard with the API, for people to see what is covered. A
// registration is not a lock: a shard that is refused one works on.
package shard
