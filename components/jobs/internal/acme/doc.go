// Package acme obtains certificates from an ACME server (RFC 8555), which asks
// for proof by a TXT record: challenge DNS-01.
//
// Its account is one key, which is made on first use and kept in a file; the
// server knows the account by it.
package acme
