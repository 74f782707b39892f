// Package postgres keeps what adapters report, rolls resources up, and composes
// the rooms below it to the one [Store] of the API, written once over "resource
// type".
//
// It promises: every moment that it stores is the database's clock, read after
// the row's lock and strictly increasing per row; a resource, its roll-up, its
// history and its schedule change together or not at all; statements are built
// from constants, so that their text never holds a user's bytes; and errors
// that a user may see are [fleet.Error]s without SQL. It does not check names,
// labels, schemas or sizes: that is the door's business.
//
// Imports run one way: postgres on desired, resource and coverage, these on
// schedule, registry, audit and once, and all on page, tenant and database.
package postgres
