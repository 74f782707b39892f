package replicas

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one that the test started.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // once ended
}

// run starts a program with its output in a file, which is shown if the test
// fails.
func (s *stand) run(name string, env []string, args ...string) *process {
	s.t.Helper()
	out, err := os.Create(filepath.Join(s.t.TempDir(), "out"))
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{cmd: exec.Command(filepath.Join(s.binaries, name), args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		_ = out.Close()
		if said, err := os.ReadFile(out.Name()); s.t.Failed() && err == nil {
			s.t.Logf("%s %v said\n%s", name, env, last(said, 6_000))
		}
	})
	return p
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// gone waits for the process to end.
func (p *process) gone(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(ceiling):
		t.Fatalf("the process goes on %s after it was to end", ceiling)
		return nil
	}
}

// replica is a sentinel.
type replica struct {
	*process
	name string
}

// join starts another sentinel.
func (s *stand) join() *replica {
	s.t.Helper()
	s.started++
	name := fmt.Sprintf("replica-%d", s.started)
	return &replica{name: name, process: s.run("hyperfleet-sentinel", []string{"POD_NAME=" + name}, append([]string{"--namespace", s.cluster.Namespace, "--kubeconfig", s.kube,
		"--api-url", s.apiURL, "--broker-url", s.brokerURL, "--admin-listen", "127.0.0.1:0"}, s.flags...)...)}
}

// is says whether a Lease's holder is this replica.
func (r *replica) is(holder string) bool { return strings.HasPrefix(holder, r.name+"-") }
