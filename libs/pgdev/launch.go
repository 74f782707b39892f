package pgdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pollEvery is how often a file or process is looked at that announces nothing.
const pollEvery = 10 * time.Millisecond

// launch starts the server and waits until it is ready. A free port may be taken
// by somebody else before the server has it: then another one is tried.
func (r *room) launch(ctx context.Context, bin string, o Options) (*process, int, error) {
	for try := 1; ; try++ {
		port := o.Port
		if port == 0 {
			var err error
			if port, err = freePort(ctx); err != nil {
				return nil, 0, err
			}
		}
		proc, err := r.launchOn(ctx, bin, port, o.Durable)
		if err == nil {
			return proc, port, nil
		}
		if !retryable(err, o.Port) || try == 20 || ctx.Err() != nil {
			return nil, 0, err
		}
		select {
		case <-ctx.Done():
			return nil, 0, err
		case <-time.After(time.Duration(try) * pollEvery):
		}
	}
}

// retryable says whether a start that failed may well succeed the next time:
// the port was lost, or processes of a killed server still hold its memory.
func retryable(err error, fixedPort int) bool {
	msg := err.Error()
	return fixedPort == 0 && strings.Contains(msg, "Address already in use") ||
		strings.Contains(msg, "pre-existing shared memory block is still in use")
}

func (r *room) launchOn(ctx context.Context, bin string, port int, durable bool) (*process, error) {
	log, err := os.OpenFile(r.path("postgres.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	// No context: the server lives on when the start's context ends.
	cmd := exec.Command(filepath.Join(bin, "postgres"), settings(r.data(), port, durable)...) //nolint:gosec,noctx // a program that was looked for; see above
	cmd.Env, cmd.Dir, cmd.SysProcAttr = environment(), r.data(), r.acc.attributes()
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := startProcess(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, err
	}
	if err := r.waitReady(ctx, proc); err != nil {
		proc.shutdown()
		return nil, err
	}
	return proc, nil
}

// settings are the server's arguments. It listens on the loopback interface
// only, by password only, and has no Unix socket, whose path may be too long.
func settings(dataDir string, port int, durable bool) []string {
	set := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"max_connections=300",
		"timezone=UTC",
		"log_timezone=UTC",
		"logging_collector=off",
		"log_destination=stderr",
		"lc_messages=C",
	}
	if !durable {
		set = append(set, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	args := []string{"-D", dataDir, "-p", strconv.Itoa(port)}
	for _, s := range set {
		args = append(args, "-c", s)
	}
	return args
}

// waitReady waits until the server says in its pid file that it is ready, as
// long as it lives and ctx lets it: recovery after a crash may take its time.
func (r *room) waitReady(ctx context.Context, proc *process) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if pid, state := r.pidFile(); pid == proc.pid && state == "ready" {
			return nil
		}
		select {
		case <-proc.done:
			return fmt.Errorf("PostgreSQL ended before it was ready: %w%s", proc.err, r.logTail())
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w%s", ctx.Err(), r.logTail())
		case <-tick.C:
		}
	}
}

// pidFile reads postmaster.pid: the process id in its first line, the server's
// state in its eighth. pid is 0 when there is none.
func (r *room) pidFile() (pid int, state string) {
	text, err := os.ReadFile(filepath.Join(r.data(), "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return 0, ""
	}
	if len(lines) > 7 {
		state = strings.TrimSpace(lines[7])
	}
	return pid, state
}

func freePort(ctx context.Context) (int, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
