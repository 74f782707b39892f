// Package schedule says which resources are due, records what was published, and
// moves a resource in the schedule when it changes. What it means to be due is
// fleet.Schedule's to say; the statements here say the same.
package schedule
