//go:build !linux

package node

import "syscall"

// tied cannot tie a child to its parent here: a parent that is killed leaves it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
