package kubedev

import "syscall"

// tied makes a child end when its parent does, however that ends, and keeps a
// Ctrl-C at the terminal from it: it ends by Stop.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// apart is tied, in namespaces of its own.
func apart() *syscall.SysProcAttr {
	attributes := tied()
	attributes.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET
	return attributes
}
