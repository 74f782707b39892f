// Package dir runs Jobs without Kubernetes: one directory per Job, with its
// input, its result and its log.
//
// A directory appears under its name complete or not at all, so its existence
// is what the existence of a Job is in a cluster. After a restart a Job with a
// result is reported, and one without is run again under the same name, which
// counts as the same Job. Of a resource's generations only the newest runs: it
// cancels the older Jobs and waits until they have stopped, so that no artefact
// of an older one is written over a newer one's. Directories are removed some
// time after their end was taken; artefacts are elsewhere and stay.
//
// One process per adapter and directory: there is no lock here.
package dir
