// Package page cuts lists into pages: where a walk goes on, and rows that are
// handed over one by one and never kept.
package page
