// Package jobs is what the adapters' Jobs do: validation, dns, placement,
// pullsecret and hypershift, each a function of a cluster, of what the jobs
// before it returned, and of files.
//
// Every job may run twice, and in two processes at once: it ends with the same
// artefacts, and a second run changes no byte. Artefacts are files below one
// directory, complete at every moment, for review before they are applied. A
// job's error is written for the cluster's owner; no message, data or log
// holds a credential. A job talks to a server only where
// it is told of one.
package jobs
