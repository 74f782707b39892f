//go:build !linux

package kubedev

import "syscall"

// tied cannot tie a child to its parent here: a parent that is killed leaves it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// apart is for Linux alone; nothing asks for it elsewhere.
func apart() *syscall.SysProcAttr { return tied() }
