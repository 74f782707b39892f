// Package auth says who asks and what they may: it verifies bearer tokens,
// binds their claims to a role and tenants, and limits the rate of requests.
//
// It promises that nothing passes by default: an operation whose rule is empty
// is open to nobody. It knows nothing of HTTP routes, resources or SQL; which
// rule an operation has stands in package rest, beside its handler.
package auth
