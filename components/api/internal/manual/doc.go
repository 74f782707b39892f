// Package manual makes a page for people of the published contract.
//
// The page is one HTML document that needs nothing else: it works offline,
// runs no script and loads nothing. It says what the contract says, in the
// contract's words, and holds no knowledge of its own.
package manual
