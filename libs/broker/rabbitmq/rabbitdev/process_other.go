//go:build !linux

package rabbitdev

import "syscall"

// tied cannot tie a child to its parent here: a parent that is killed leaves it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
