// Package selector turns label selectors into SQL over a jsonb column of
// labels, and says what part of one a shard key answers.
//
// It promises to agree with [labels.Selector.Matches] on every selector and
// every set of labels, and that the text of the SQL is built from constants
// alone: users' bytes travel as parameters. It does no I/O.
package selector
