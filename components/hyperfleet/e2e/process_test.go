package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// rounds is how often a violent test repeats.
func rounds(t *testing.T) int {
	t.Helper()
	return fleettest.Rounds(t)
}

// program builds the real hyperfleet binary.
func program(t *testing.T) string {
	t.Helper()
	pgdev.Need(t)
	path := filepath.Join(t.TempDir(), "hyperfleet")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/hyperfleet").CombinedOutput()
	if err != nil {
		t.Fatalf("build hyperfleet: %v\n%s", err, out)
	}
	return path
}

// process is a `hyperfleet dev` of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan error
	out   *bytes.Buffer
	env   map[string]string
}

// startProcess returns once dev.env is there.
func startProcess(t *testing.T, binary, dataDir string, args ...string) *process {
	t.Helper()
	p := launch(t, binary, dataDir, args...)
	var err error
	if p.env, err = waitForEnv(dataDir, p.ended); err != nil {
		t.Fatalf("%v\n%s", err, p.out)
	}
	return p
}

// launch waits for nothing.
func launch(t *testing.T, binary, dataDir string, args ...string) *process {
	t.Helper()
	if err := os.Remove(filepath.Join(dataDir, "dev.env")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	p := &process{ended: make(chan error, 1), out: new(bytes.Buffer)}
	p.cmd = exec.Command(binary, append([]string{"dev", "--listen", "127.0.0.1:0", "--data-dir", dataDir}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// killAtSomeMoment kills p within three seconds.
func (p *process) killAtSomeMoment(t *testing.T) {
	t.Helper()
	moment := time.Duration(rand.Int64N(int64(3 * time.Second)))
	t.Logf("killed after %s", moment)
	<-time.After(moment) // the violence itself, not a wait for anything
	if err := p.end(t, syscall.SIGKILL); err == nil {
		t.Fatal("killed, it ended well")
	}
}

// end sends the signal and waits for the process to be gone.
func (p *process) end(t *testing.T, sig syscall.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(ceiling):
		t.Fatalf("hyperfleet dev goes on %s after %s\n%s", ceiling, sig, p.out)
		return nil
	}
}

// postgresOf returns the processes that work in the data directory.
func postgresOf(t *testing.T, dataDir string) []string {
	t.Helper()
	out, err := exec.Command("ps", "-axo", "pid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dataDir) && strings.Contains(line, "postgres") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func TestSignalsEndEverything(t *testing.T) {
	t.Parallel()
	binary := program(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dir := dataDirOf(t)
			p := startProcess(t, binary, dir, "--demo")
			if len(postgresOf(t, dir)) == 0 {
				t.Fatal("no PostgreSQL runs in the data directory: the check below would prove nothing")
			}
			if err := p.end(t, sig); err != nil {
				t.Errorf("hyperfleet dev ended with %v\n%s", err, p.out)
			}
			if left := postgresOf(t, dir); len(left) != 0 {
				t.Errorf("these processes are left: %v", left)
			}
		})
	}
}

// TestALostDatabaseEndsEverything kills the database below the stack: it must
// not stay as a half that looks alive.
// The specification's own commands bring no token.
func TestAuthenticationIsSwitchedOffByHand(t *testing.T) {
	t.Parallel()
	p := startProcess(t, program(t), dataDirOf(t), "--auth-mode", "disabled")
	p.env["HYPERFLEET_TOKEN"] = "none"
	id, err := p.create(t, "open")
	if err != nil {
		t.Fatalf("create: %v\n%s", err, p.out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	if c, err := waitForPhase(ctx, p.client(t), fleet.Clusters, id, fleet.Ready); err != nil {
		t.Fatalf("%v; the cluster is\n%s", err, indent(c))
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("hyperfleet dev ended with %v\n%s", err, p.out)
	}
	if !strings.Contains(p.out.String(), "authentication is off") {
		t.Errorf("it does not say so:\n%s", p.out)
	}
}

func TestALostDatabaseEndsEverything(t *testing.T) {
	t.Parallel()
	dir := dataDirOf(t)
	p := startProcess(t, program(t), dir)
	for _, line := range postgresOf(t, dir) {
		pid, err := strconv.Atoi(strings.Fields(line)[0])
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // a process of the database that is gone already is what is wanted
	}
	select {
	case err := <-p.ended:
		if err == nil || !strings.Contains(p.out.String(), "PostgreSQL ended") {
			t.Errorf("hyperfleet dev ended with %v\n%s", err, p.out)
		}
	case <-time.After(ceiling):
		t.Fatalf("hyperfleet dev goes on %s without its database\n%s", ceiling, p.out)
	}
}

func dataDirOf(t *testing.T) string {
	t.Helper()
	dir, err := searchableDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestKillAndRestart kills the process at a random moment, again and again, and
// has the last one finish every cluster, with one Job per attempt.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	binary, dir := program(t), dataDirOf(t)
	var ids, tokens []string
	for round := range rounds(t) {
		launch(t, binary, dir).killAtSomeMoment(t) // while it starts, the first time from nothing
		p := startProcess(t, binary, dir)
		tokens = append(tokens, p.env["HYPERFLEET_TOKEN"])
		id, err := p.create(t, fmt.Sprintf("killed-%d", round))
		if err != nil {
			t.Fatalf("create: %v\n%s", err, p.out)
		}
		ids = append(ids, id)
		p.killAtSomeMoment(t)
	}

	p := startProcess(t, binary, dir)
	p.env["HYPERFLEET_TOKEN"] = tokens[0] // it outlives the process that signed it
	api := p.client(t)
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	for _, id := range ids {
		if c, err := waitForPhase(ctx, api, fleet.Clusters, id, fleet.Ready); err != nil {
			t.Fatalf("%v; the cluster is\n%s\n%s", err, indent(c), p.out)
		}
	}
	checkOneJobPerAttempt(t, dir, ids)
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("hyperfleet dev ended with %v\n%s", err, p.out)
	}
}

// checkOneJobPerAttempt fails unless each cluster has exactly the five Jobs of
// its first generation's first attempts.
func checkOneJobPerAttempt(t *testing.T, dir string, ids []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "jobs"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^([a-z]+)-adapter-([0-9a-f]{32})-g1$`)
	got := map[string]int{}
	for _, e := range entries {
		m := name.FindStringSubmatch(e.Name())
		if m == nil {
			t.Errorf("Job %s is none that a first attempt makes", e.Name())
			continue
		}
		got[m[2]]++
	}
	for _, id := range ids {
		if n := got[strings.ReplaceAll(id, "-", "")]; n != 5 {
			t.Errorf("cluster %s has %d Jobs, want 5", id, n)
		}
	}
}

func (p *process) client(t *testing.T) *client.Client {
	t.Helper()
	api, err := client.New(p.env["HYPERFLEET_URL"], client.Bearer(nil, client.TokenText(p.env["HYPERFLEET_TOKEN"])), ceiling)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func (p *process) create(t *testing.T, name string) (string, error) {
	t.Helper()
	c, err := p.client(t).Create(t.Context(), fleet.Clusters, fleet.NewResource{
		Name: name, Labels: map[string]string{"region": "us-east"},
		Spec: []byte(`{"provider":"aws","region":"us-east","version":"4.16.3"}`),
	})
	return c.ID, err
}
