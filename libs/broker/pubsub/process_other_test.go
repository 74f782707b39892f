//go:build !linux

package pubsub

import "syscall"

// tied cannot tie a child to the test here: one that is killed leaves it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
