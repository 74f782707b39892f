// Package rollup computes a resource's status from its adapters' latest
// reports: phase, observed generation and conditions, and whether its deletion
// is over.
//
// It is a pure function of what it is given, the moment included. It reads no
// history and decides no schedule.
package rollup
