package rabbitdev

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// prefix begins the names of all nodes' directories; the owner's pid follows.
const prefix = "hyperfleet-rabbitmq-"

// process is a child that ends with this process at the latest.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func start(program string, environment []string, log string, arguments ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()                                                                                                // the child has its own
	p := &process{cmd: exec.CommandContext(context.Background(), program, arguments...), ended: make(chan struct{})} //nolint:gosec // the programs of RabbitMQ
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = environment, out, out, tied()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

// end sends a signal and waits for the end.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	<-p.ended
}

// sweep removes the directories of processes that were killed.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // the pattern is right
	for _, dir := range left {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			os.RemoveAll(dir)
		}
	}
}
