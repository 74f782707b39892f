// Package dns writes clusters' names into zone files and issues their
// certificates from a local certificate authority.
//
// A zone is one RFC 1035 master file that many clusters share: a job changes
// the records of its own cluster alone, under a lock, and the serial rises
// exactly when a record changes. The names of a cluster belong to its tenant:
// another tenant's cluster cannot take them over.
package dns
