// Package bench measures a sentinel with all that it needs, each a process of
// its own: PostgreSQL, the API with authentication on, RabbitMQ. What it finds
// it prints as a table beside the least that could do the same; it judges
// counts, never times, because a busy machine makes every time worse.
//
// It has no code but its benchmarks (`make bench`). They are not for machines
// that other work keeps busy.
package bench
