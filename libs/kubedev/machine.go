package kubedev

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// needed are the machine's programs that a node is made of, and their Debian packages.
func needed() map[string]string {
	return map[string]string{
		"containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables",
		"ip": "iproute2", "nsenter": "util-linux", "mount": "mount",
	}
}

// NeedNode skips t where a node cannot run.
func NeedNode(t testing.TB) {
	t.Helper()
	Need(t)
	switch names := missing(nodePrograms()); {
	case runtime.GOOS != "linux":
		t.Skip("a Kubernetes node needs Linux; only the control plane runs here")
	case len(names) > 0:
		t.Skipf("the node of Kubernetes %s is not built (%s); build it with: make kube", kubernetesVersion, strings.Join(names, ", "))
	case len(absent()) > 0:
		t.Skipf("a Kubernetes node needs %s; install with: apt-get install --no-install-recommends %[1]s", strings.Join(absent(), " "))
	case os.Geteuid() != 0:
		t.Skip("a Kubernetes node needs root, and this is not root; only the control plane runs here")
	}
}

// absent lists the Debian packages that would have to be installed.
func absent() []string {
	packages := map[string]bool{}
	for name, debian := range needed() {
		if _, err := lookup(name); err != nil {
			packages[debian] = true
		}
	}
	if _, err := findPlugins(); err != nil {
		packages["containernetworking-plugins"] = true
	}
	return slices.Sorted(maps.Keys(packages))
}

// lookup finds a program of the machine, an administrator's included.
func lookup(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

// findPlugins returns the directory of the network plugins.
func findPlugins() (string, error) {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("the network plugins are not installed (Debian: apt-get install containernetworking-plugins)")
}
