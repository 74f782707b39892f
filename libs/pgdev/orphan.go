package pgdev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// evictOrphan waits for a server that still uses the data directory although
// its parent is gone (r's lock is held, so it is gone), and stops it if it does
// not stop by itself. A pid file whose process number now belongs to something
// else is removed: PostgreSQL would take it for a running server.
func (r *room) evictOrphan(ctx context.Context, log io.Writer) error {
	pid, _ := r.pidFile()
	if pid == 0 || !alive(pid) {
		return nil
	}
	if !r.servesUs(ctx, pid) {
		if err := os.Remove(filepath.Join(r.data(), "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the pid file of a server that is gone: %w", err)
		}
		return nil
	}
	fmt.Fprintf(log, "waiting for the PostgreSQL that still uses %s (process %d) to end\n", r.dir, pid)
	for _, step := range []struct {
		signal  syscall.Signal // before the wait; 0 = none
		patient time.Duration
	}{{0, 3 * time.Second}, {syscall.SIGINT, 10 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}, {syscall.SIGKILL, 10 * time.Second}} {
		if step.signal != 0 && r.servesUs(ctx, pid) {
			if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop the PostgreSQL that still uses %s (process %d): %w", r.dir, pid, err)
			}
		}
		if gone, err := waitGone(ctx, pid, step.patient); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("process %d still uses %s and cannot be stopped: end it by hand", pid, r.dir)
}

func waitGone(ctx context.Context, pid int, patient time.Duration) (bool, error) {
	deadline := time.After(patient)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait for process %d to end: %w", pid, ctx.Err())
		case <-deadline:
			return false, nil
		case <-tick.C:
		}
	}
	return true, nil
}

// alive says whether a process with that number exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// servesUs says whether process pid is a PostgreSQL on r's data directory, and
// not something else that got the number since.
func (r *room) servesUs(ctx context.Context, pid int) bool {
	if runtime.GOOS == "linux" {
		cwd, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd") // a server works in its data directory
		return err == nil && sameFile(cwd, r.data())
	}
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec // a number
	return err == nil && strings.Contains(string(out), r.data())
}

func sameFile(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}
