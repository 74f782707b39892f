package pgdev

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// watch starts a shell that stops the process pid when this process has ended,
// for systems whose kernel cannot: the shell's input is a pipe whose other end
// nobody but this process holds. unwatch ends the shell.
func watch(pid int) (unwatch func(), err error) {
	const script = `trap '' INT TERM HUP; if read -r word; then exit 0; fi; kill -QUIT "$1"`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", strconv.Itoa(pid)) //nolint:gosec,noctx // a fixed script and a number; it ends with this process
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return func() {}, fmt.Errorf("watch over the server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return func() {}, fmt.Errorf("watch over the server: %w", err)
	}
	return func() {
		_, _ = in.Write([]byte("ended\n")) // a shell that is gone needs no word
		_ = cmd.Wait()
	}, nil
}
