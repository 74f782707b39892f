// Package resource is a resource as it is stored: read, listed, and held under its
// lock while a write rolls it up and moves it in the schedule.
package resource
