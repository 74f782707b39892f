// Package brokertest is the conformance suite of broker drivers: what the
// interfaces in package broker promise, as tests, one file per theme.
//
// A driver passes a function that makes a Harness; [Exercise] runs every theme
// against a new one. Themes wait for what they observe and use time only as a
// ceiling, or to see that something did not come early, so that they hold for a
// broker over the network as well as for one in memory within a synctest bubble.
package brokertest
