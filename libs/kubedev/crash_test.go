package kubedev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// levels are what a cluster may be.
func levels() map[string]func(testing.TB) {
	return map[string]func(testing.TB){"alone": Need, "node": NeedNode}
}

// helper is the test program as a parent that is killed: it starts a cluster,
// prints its directory and link, and waits.
func helper() {
	p, err := startPlane(context.Background(), os.Getenv("KUBEDEV_HELPER") == "node")
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(p.dir, p.link())
	select {}
}

// link is the name of the link to the plane's box, or one that nothing has.
func (p *plane) link() string {
	if p.box == nil {
		return "none"
	}
	return p.box.link()
}

// leftovers lists what is still there of a cluster: processes, which all name
// its directory, mounts, control groups and its link.
func leftovers(t *testing.T, dir, link string) []string {
	t.Helper()
	var left []string
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		words, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(words), dir) {
			left = append(left, strings.ReplaceAll(string(words), "\x00", " "))
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && strings.Contains(string(mounts), dir) {
		left = append(left, "mounts")
	}
	if _, err := net.InterfaceByName(link); err == nil {
		left = append(left, "link "+link)
	}
	b := &box{dir: dir}
	if err := b.eachCgroup(func(path string) error {
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		left = append(left, dir)
	}
	return left
}

func TestTwoClustersInARowLeaveNothingBehind(t *testing.T) {
	for level, need := range levels() {
		t.Run(level, func(t *testing.T) {
			need(t)
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			for range 2 {
				p, err := startPlane(testContext(t), level == "node")
				if err != nil {
					t.Fatal(err)
				}
				if len(leftovers(t, p.dir, p.link())) < 2 {
					t.Error("nothing is seen of a cluster that runs")
				}
				if err := p.stop(); err != nil {
					t.Fatal(err)
				}
				if left := leftovers(t, p.dir, p.link()); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
		})
	}
}

func TestAKilledParentLeavesNothingThatTheNextDoesNotRemove(t *testing.T) {
	t.Parallel()
	for level, need := range levels() {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			need(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "KUBEDEV_HELPER="+level)
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
			if err != nil || len(words) != 2 {
				t.Fatalf("helper: %q %v", line, err)
			}
			var left []string
			eventually(t, "only files and control groups are left", func(context.Context) bool {
				left = leftovers(t, words[0], words[1])
				for _, one := range left {
					if one != words[0] && !strings.HasPrefix(one, "/sys/fs/cgroup/") {
						return false
					}
				}
				return true
			})
			if len(left) == 0 {
				t.Error("a killed parent leaves its files at least: this sees nothing")
			}
			eventually(t, "the next removes them", func(context.Context) bool {
				dir, err := makeRoom()
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				return len(leftovers(t, words[0], words[1])) == 0
			})
		})
	}
}

func TestTwoNodesAreInNobodysWay(t *testing.T) {
	t.Parallel()
	one, other := startNode(t, Options{Private: true}), startNode(t, Options{Private: true})
	if one.plane.link() == other.plane.link() {
		t.Fatalf("both have link %s", one.plane.link())
	}
	for name, c := range map[string]*Cluster{"one": one, "other": other} {
		if got := runProbe(t, c, "work", "say", name); got != name {
			t.Errorf("%s says %q", name, got)
		}
	}
}
