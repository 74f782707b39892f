// Package hyperfleet is the lobby of the house: it imports nobody and is
// imported by nobody. Its tests hold the rules that every room keeps.
package hyperfleet
