//go:build !linux

package binddev

import "syscall"

// tied has nothing to offer here: a test that is killed leaves its server.
func tied() *syscall.SysProcAttr { return nil }
