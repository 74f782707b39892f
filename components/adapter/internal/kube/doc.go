// Package kube runs Jobs on Kubernetes.
//
// A Job is created under the name of its attempt, and nothing but that name
// keeps it from running twice: whoever comes second finds it there. Its end is
// read off the Job, not off a moment that could be missed: a finalizer keeps the
// Job until its end is stored, whoever deletes it, and only then does its
// time-to-live begin. Every replica makes Jobs; the one that leads sees to
// their ends, cancels those of older generations and removes those that nobody
// wants any more. A lease says who leads; two that both think so report the same
// twice, which folds.
//
// It touches nothing that does not carry the identity of one of the adapter's
// Jobs, and asks for nothing beyond one namespace.
package kube
