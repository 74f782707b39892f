// Package dir runs Jobs without Kubernetes: one directory per Job, with its
// input, its result and its log.
//
// A directory appears under its name complete or not at all, so its existence
// is what the existence of a Job is in a cluster. After a restart a Job with a
// result is reported, and one without is run again under the same name, which
// counts as the same Job. One process per adapter and directory: there is no
// lock here.
package dir
