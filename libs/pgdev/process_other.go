//go:build !linux

package pgdev

import "syscall"

// dieWithParent has nothing to do: see guard.
func dieWithParent(*syscall.SysProcAttr) {}

// guard stops the server when this process ends in whatever way.
func guard(pid int) (unguard func(), err error) { return watch(pid) }
