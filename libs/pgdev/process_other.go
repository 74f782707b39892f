//go:build !linux

package pgdev

import "syscall"

// dieWithParent has nothing to do: see guard.
func dieWithParent(*syscall.SysProcAttr) {}

// guard stops the server when this process ends in whatever way.
func guard(pid int) (unguard func(), err error) { return watch(pid) }

// children is not known here: a server's processes end by themselves soon
// after it.
func children(int) []int { return nil }
