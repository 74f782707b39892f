// Package migration brings the schema to the version that this program needs,
// grants the application's role what it may do, and settles and moves the shard
// key. Serving needs nothing of it but to ask whether the schema is ready.
package migration
