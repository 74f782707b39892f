//go:build !linux

package kubedev

import "syscall"

// tied cannot tie a child to its parent here: a parent that is killed leaves it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
