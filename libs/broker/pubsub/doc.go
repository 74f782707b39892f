// Package pubsub carries events over Google Cloud Pub/Sub.
//
// It promises what package broker says, as far as Pub/Sub can. An event is a
// message of its own with the resource's id as ordering key: a publish request
// may hold one key only, so there is nothing to batch across resources, and
// each event is sent at once. Publish asks every 10 s which subscriptions the
// topic has, because Pub/Sub confirms and forgets what is published to none: for
// up to 10 s after the last was deleted, events count as stored and are lost.
//
// A delivery is leased for as long as it is handled, waits for a retry or for
// the end of a pause. Pub/Sub can delay a redelivery only by the subscription's
// retry policy, so Retry(after) holds the lease for that long and hands the
// event back then; one that comes early, because half of the window waited
// already, waits then, and that counts nothing. Deliveries are counted by this
// process, because Pub/Sub also counts what nobody handled (a stop, a lost
// connection): after a restart, or with several replicas, an event may be
// delivered more often than the limit. Pub/Sub's own dead-letter policy, at its
// most of 100, catches events that end the process; what is given back often is
// stored anew for its subscription, so that nothing else reaches that limit.
//
// Topics and subscriptions are created only when the settings say so; else what
// is missing is named, with the command that creates it. Credentials are the
// application's default ones, so workload identity needs no settings;
// PUBSUB_EMULATOR_HOST leads to an emulator.
package pubsub
