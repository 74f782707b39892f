// Package audit notes who wrote what, in the transaction of the write itself, and
// lists it.
package audit
