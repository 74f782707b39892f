// Package partition makes partitions of the histories ahead of time and drops those
// whose retention is over, together with old tombstones. It knows where they end,
// so that no report changes an old one.
package partition
