package pgdev

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// helper is the test program as a parent that is killed: it starts a server,
// prints its process id and URL, and waits.
func helper() {
	if number, ok := strings.CutPrefix(os.Getenv("PGDEV_HELPER"), "watch:"); ok {
		pid, _ := strconv.Atoi(number)
		if _, err := watch(pid); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("watching")
		select {}
	}
	s, err := Start(context.Background(), Options{DataDir: os.Getenv("PGDEV_HELPER"), Durable: true})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.proc.pid, s.URL("postgres"))
	select {}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// startHelper runs the helper and returns its server's process id and URL.
func startHelper(t *testing.T, dir string) (cmd *exec.Cmd, pid int, url string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGDEV_HELPER="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("helper: %s %v", line, err)
	}
	first, url, _ := strings.Cut(strings.TrimSpace(line), " ")
	if pid, err = strconv.Atoi(first); err != nil {
		t.Fatal(err)
	}
	return cmd, pid, url
}

func waitDead(t *testing.T, pid int) {
	t.Helper()
	gone, err := waitGone(testContext(t), pid, time.Minute)
	if err != nil || !gone {
		t.Fatalf("process %d is still there: %v", pid, err)
	}
}

func TestAKilledParentLeavesNoServerAndLosesNoData(t *testing.T) {
	t.Parallel()
	Need(t)
	dir := filepath.Join(t.TempDir(), "pg")
	for round := range fleettest.Rounds(t) {
		cmd, pid, url := startHelper(t, dir)
		if round == 0 {
			execute(t, url, "CREATE TABLE t (n int)")
		}
		execute(t, url, fmt.Sprintf("INSERT INTO t VALUES (%d)", round))
		kill(t, cmd.Process.Pid)
		_ = cmd.Wait()
		if round%2 == 0 { // the other rounds start while the old server is still going
			waitDead(t, pid)
		}
		s, err := Start(testContext(t), Options{DataDir: dir, Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		waitDead(t, pid) // it gave the directory up before it was gone for good
		if got := query(t, s.URL("postgres"), "SELECT count(*) FROM t"); got != strconv.Itoa(round+1) {
			t.Errorf("round %d: %s rows", round, got)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// The initdb of a parent that was killed goes on writing for a while.
func TestAnOrphanedInitdbIsInNobodysWay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			for _, orphan := range []string{"data.new", "data.new-orphan"} {
				if os.MkdirAll(filepath.Join(dir, orphan, "base"), 0o700) == nil {
					_ = os.WriteFile(filepath.Join(dir, orphan, "base", strconv.Itoa(n%100)), nil, 0o600)
				}
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	s := start(t, Options{DataDir: dir, Durable: true})
	execute(t, s.URL("postgres"), "CREATE TABLE t AS SELECT 1")
}

func TestAServerThatWasKilledIsRecovered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	s := start(t, Options{DataDir: dir, Durable: true})
	execute(t, s.URL("postgres"), "CREATE TABLE t AS SELECT 'here' AS v")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, Options{DataDir: dir, Durable: true})
	if got := query(t, again.URL("postgres"), "SELECT v FROM t"); got != "here" {
		t.Errorf("got %q", got)
	}
}

func TestAPidFileWhoseNumberIsSomebodyElsesIsNoServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	s := start(t, Options{DataDir: dir})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "600")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s\n", other.Process.Pid, filepath.Join(dir, "data")), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, Options{DataDir: dir})
	if !alive(other.Process.Pid) {
		t.Error("the other process was ended")
	}
}

func TestAnOrphanIsEvicted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	s := start(t, Options{DataDir: dir})
	s.room.lock.Close() // as if the process that held it were gone
	again, err := Start(testContext(t), Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Stop() })
	select {
	case <-s.Done():
	default:
		t.Error("two servers on one directory")
	}
	s.room.lock = nil
}

func TestTheWatchingShellStopsAServerWhoseParentIsGone(t *testing.T) {
	t.Parallel()
	victim := exec.Command("sleep", "600")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- victim.Wait() }()
	parent := watchingParent(t, victim.Process.Pid)
	kill(t, parent.Process.Pid)
	select {
	case <-ended:
	case <-testContext(t).Done():
		t.Fatal("the victim lives on")
	}
}

// watchingParent runs this program again as the parent that watches over pid.
func watchingParent(t *testing.T, pid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGDEV_HELPER=watch:"+strconv.Itoa(pid))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "watching\n" {
		t.Fatalf("helper: %q %v", line, err)
	}
	return cmd
}
