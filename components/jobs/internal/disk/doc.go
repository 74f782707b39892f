// Package disk keeps the jobs' artefacts: files that are replaced as a whole,
// and locks that jobs of several processes share.
//
// A reader sees a file as it was before a job or as it is after it, never in
// between; a file whose content would not change is not touched.
package disk
