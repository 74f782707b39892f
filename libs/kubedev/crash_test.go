package kubedev

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// helper is the test program as a parent that is killed: it starts a server,
// prints its directory and process ids, and waits.
func helper() {
	p, err := startPlane(context.Background())
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(p.dir, strings.Trim(fmt.Sprint(p.pids()), "[]"))
	select {}
}

// pids are the plane's processes.
func (p *plane) pids() []int {
	var all []int
	for _, proc := range []*process{p.etcd, p.api.process, p.controller} {
		all = append(all, proc.cmd.Process.Pid)
	}
	return all
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d ends", pid), func(context.Context) bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}

func TestTwoServersInARowLeaveNothingBehind(t *testing.T) {
	Need(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 2 {
		p, err := startPlane(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		pids := p.pids()
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			waitGone(t, pid)
		}
		if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
			t.Errorf("%s: %v", p.dir, err)
		}
	}
}

func TestAKilledParentLeavesNoProcessAndItsDirectoryToTheNext(t *testing.T) {
	t.Parallel()
	Need(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KUBEDEV_HELPER=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	words := strings.Fields(line)
	if err != nil || len(words) != 4 {
		t.Fatalf("helper: %q %v", line, err)
	}
	for _, word := range words[1:] {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		waitGone(t, pid)
	}
	dir, err := makeRoom()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if _, err := os.Stat(words[0]); !os.IsNotExist(err) {
		t.Errorf("%s: %v", words[0], err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory of a process that lives: %v", err)
	}
}
