package kubedev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Releases of the programs; the modules in .tools pin the same.
const (
	kubernetesVersion = "v1.37.2"
	etcdVersion       = "v3.6.5"
	corednsVersion    = "v1.12.4"
)

// program is one that is built from a module in .tools, or from this one.
type program struct {
	name, tool, pkg, version string
}

// release is a program of the release.
func release(name string) program {
	return program{name: name, tool: "kube", pkg: "k8s.io/kubernetes/cmd/" + name, version: kubernetesVersion}
}

func etcd() program {
	return program{name: "etcd", tool: "etcd", pkg: "go.etcd.io/etcd/server/v3", version: etcdVersion}
}

func coredns() program {
	return program{name: "coredns", tool: "coredns", pkg: "github.com/coredns/coredns", version: corednsVersion}
}

// pauseProgram is this module's own, for the containers that hold pods' namespaces.
func pauseProgram() program {
	return program{name: "pause", tool: "../libs/kubedev", pkg: "./cmd/pause", version: "v1"}
}

// nodePrograms lists what a node needs beside the control plane.
func nodePrograms() []program {
	if runtime.GOOS != "linux" {
		return nil
	}
	return []program{release("kube-scheduler"), release("kubelet"), release("kube-proxy"), coredns(), pauseProgram()}
}

// programs lists what the control plane needs.
func programs() []program {
	return []program{etcd(), release("kube-apiserver"), release("kube-controller-manager"), release("kubectl")}
}

// path is where a program is cached.
func (p program) path() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache: %w", err)
	}
	return filepath.Join(cache, "hyperfleet", "kube", p.name+"-"+p.version), nil
}

// missing names the programs that are not built yet.
func missing(all []program) []string {
	var names []string
	for _, p := range all {
		path, err := p.path()
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			names = append(names, p.name)
		}
	}
	return names
}

// Build builds the programs that are missing and tells log about each: some
// minutes each where Go's own cache has nothing. Processes that do so at the
// same time take turns, and the second finds what the first built.
func Build(ctx context.Context, log io.Writer) error {
	all := append(programs(), nodePrograms()...)
	if len(missing(all)) == 0 {
		return nil
	}
	tools, err := findTools()
	if err != nil {
		return err
	}
	unlock, err := lockCache(log)
	if err != nil {
		return err
	}
	defer unlock()
	for _, p := range all {
		if len(missing([]program{p})) == 0 {
			continue
		}
		fmt.Fprintf(log, "building %s %s (once, some minutes)\n", p.name, p.version)
		start := time.Now()
		if err := p.build(ctx, tools); err != nil {
			return err
		}
		fmt.Fprintf(log, "built %s in %s\n", p.name, time.Since(start).Round(time.Second))
	}
	return nil
}

// build puts the program into the cache, in one step: whoever looks meanwhile
// finds all of it or nothing.
func (p program) build(ctx context.Context, tools string) error {
	path, err := p.path()
	if err != nil {
		return err
	}
	fresh := path + ".new"
	defer os.Remove(fresh)
	const version = "-X k8s.io/component-base/version."
	major, minor, _ := strings.Cut(strings.TrimPrefix(p.version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	flags := fmt.Sprintf("-s -w %[1]sgitVersion=%s %[1]sgitMajor=%s %[1]sgitMinor=%s", version, p.version, major, minor)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", fresh, p.pkg) //nolint:gosec // constants
	cmd.Dir = filepath.Join(tools, p.tool)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", p.name, err, out)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("put %s into the cache: %w", p.name, err)
	}
	return nil
}

// findTools returns the house's .tools, seen from the working directory.
func findTools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find .tools: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		tools := filepath.Join(dir, ".tools")
		if _, err := os.Stat(filepath.Join(tools, "kube", "go.mod")); err == nil {
			return tools, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find .tools/kube/go.mod: it is in no directory above this one; run this inside the repository")
		}
	}
}

// lockCache makes the cache, and waits until nobody else builds into it.
func lockCache(log io.Writer) (unlock func(), err error) {
	path, err := program{}.path()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs that anybody may have
		return nil, fmt.Errorf("make the cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintf(log, "waiting for another process that builds into %s\n", dir)
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the cache: %w", err), lock.Close())
	}
	return func() { lock.Close() }, nil
}
