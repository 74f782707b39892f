// Package exit says how a job's process ends: done, failed for good, or to be
// tried again.
//
// What a job cannot change by running again is a failure for good: a spec that
// breaks a rule, a name that is another's. What may pass by itself is to be
// tried again: a server that does not answer, a conflict, a quota.
package exit
