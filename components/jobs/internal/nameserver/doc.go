// Package nameserver keeps clusters' names at a DNS provider: a server that
// takes dynamic updates (RFC 2136), Route 53, Google Cloud DNS or Cloudflare.
//
// What is there is read from the authoritative servers themselves, the same way
// for every provider; a change is done when each of them answers with it. A TXT
// record says whose a cluster's names are: names without it, or of another
// tenant, are never touched. Of two clusters that claim a name at once a server of
// RFC 2136 admits one; elsewhere both see both claims, now or when they are
// checked, and all but one withdraw.
package nameserver
