package binddev

import "syscall"

// tied makes a child end when its parent does, however that ends.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
