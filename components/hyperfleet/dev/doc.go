// Package dev is the whole of HyperFleet in one process: a private PostgreSQL,
// the API, a broker (in memory unless told otherwise), four sentinels (of clusters
// and of node pools, in two regions), five adapters and their jobs.
//
// It composes the components' faces and adds nothing of its own but the
// banner, dev.env and the timeline, so that what runs here is what runs in
// production. The end-to-end scenarios run on it too. It is not made to carry a
// fleet: the broker forgets what it holds when the process ends, and the
// sentinels' next look finds it again.
package dev
