// Package desired stores what users want of resources: it creates, changes and
// deletes them.
package desired
