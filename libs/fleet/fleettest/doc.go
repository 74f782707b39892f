// Package fleettest is what the tests of all rooms agree on. It is for tests
// alone and requires nothing but the standard library.
package fleettest
