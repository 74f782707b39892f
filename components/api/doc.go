// Package api is the HyperFleet API: it keeps the desired state of resources
// and what adapters report of them in PostgreSQL, and says what is due.
//
// Its face is [Config], [New] and [API.Run]; main runs it as a process of its
// own, `hyperfleet dev` beside everything else. It publishes no event and
// decides nothing but a resource's phase.
package api
