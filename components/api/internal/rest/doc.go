// Package rest answers HTTP: it turns requests into calls of the store and
// what the store says into the documents of the published contract.
//
// It promises that bad input never reaches the store, that every answer
// carries X-Request-Id, that every error is a problem document without a
// stack or SQL, and that every request ends within a bounded time. Handlers
// are written once over "resource type".
package rest
