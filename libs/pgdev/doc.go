// Package pgdev runs a private PostgreSQL for `hyperfleet dev` and for tests.
//
// It finds PostgreSQL 14 to 18 on the machine, or fetches it into the user's
// cache, and runs it as a direct child that listens on the loopback interface
// only, with a random password. It takes care of what makes that hard: that
// PostgreSQL refuses to run as root, that a parent ended by kill -9 must leave
// no process behind, and that the server before may still be on its way out of
// the data directory.
//
// It is for development and tests: it makes no backups, and a temporary server
// gives up durability for speed. Linux and macOS are supported.
package pgdev
