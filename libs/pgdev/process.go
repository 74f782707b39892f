package pgdev

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a server's process, a direct child of this one.
type process struct {
	pid  int
	done chan struct{} // closed when it has exited
	err  error         // why, once done is closed
}

// startProcess starts cmd such that it does not outlive this process.
//
// On Linux the kernel tells a child when the *thread* that started it ends, so
// that thread belongs to the child until the child ends.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		dieWithParent(cmd.SysProcAttr)
		err := cmd.Start()
		if err != nil {
			started <- fmt.Errorf("start %s: %w", cmd.Path, err)
			return
		}
		p.pid = cmd.Process.Pid
		unguard, err := guard(p.pid)
		if err != nil {
			err = errors.Join(err, cmd.Process.Kill())
		}
		started <- err
		p.err = cmd.Wait()
		unguard()
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

// shutdown ends the process within 9 s: SIGINT lets PostgreSQL end its sessions
// and write everything out, SIGQUIT leaves that to recovery, SIGKILL is the last word.
func (p *process) shutdown() {
	for _, step := range []struct {
		signal  syscall.Signal
		patient time.Duration
	}{{syscall.SIGINT, 6 * time.Second}, {syscall.SIGQUIT, 2 * time.Second}, {syscall.SIGKILL, time.Second}} {
		select {
		case <-p.done:
			return
		default:
		}
		if syscall.Kill(p.pid, step.signal) != nil {
			break // gone
		}
		select {
		case <-p.done:
			return
		case <-time.After(step.patient):
		}
	}
	<-p.done
}
