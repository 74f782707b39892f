package pubsub

import "syscall"

// tied makes a child end when the test does, however that ends.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
