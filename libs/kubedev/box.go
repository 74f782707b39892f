package kubedev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// box is what a node lives in: namespaces of its own for network, mounts and
// processes. The kernel ends every process in it with the first one, and takes
// mounts, addresses and rules away with the last: nothing can stay behind, and
// two nodes on one machine have nothing in common but the machine.
type box struct {
	dir    string
	init   *process
	number int // of its link and network
}

// tunables are the kernel's settings that a kubelet insists on. The box shows
// it these; the machine's own stay as they are.
func tunables() map[string]string {
	return map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	}
}

// initScript is the box's first process. What programs keep at fixed places goes
// to memory. It waits for ever, and for processes that lost their parent.
const initScript = `set -e
mount --make-rprivate /
mount --make-rshared /
mount -t proc proc /proc
for dir in /run /var/lib /var/log; do mount -t tmpfs tmpfs $dir; done
mkdir -p /run/lock
cd "$1"
for setting in $(find . -type f); do mount --bind $setting /proc/sys/$setting; done
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch ../box.ready
while :; do sleep 1000000 & wait; done
`

// openBox makes a box whose files are in dir.
func openBox(ctx context.Context, dir string) (_ *box, err error) {
	b := &box{dir: dir}
	for name, value := range tunables() {
		path := filepath.Join(dir, "tunables", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(value+"\n"), 0o600)); err != nil {
			return nil, fmt.Errorf("make a box: %w", err)
		}
	}
	if b.init, err = spawn(dir, "box", apart(), "/bin/sh", "-c", initScript, "sh", filepath.Join(dir, "tunables")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := b.waitReady(ctx); err != nil {
		return nil, err
	}
	if err := b.connect(ctx); err != nil {
		return nil, err
	}
	return b, b.eachCgroup(func(path string) error { return os.Mkdir(path, 0o755) }) //nolint:gosec // as the machine's own
}

func (b *box) waitReady(ctx context.Context) error {
	for {
		if _, err := os.Stat(filepath.Join(b.dir, "box.ready")); err == nil {
			return nil
		}
		select {
		case <-b.init.ended:
			return fmt.Errorf("make a box: its first process ended:\n%s", b.init.said())
		default:
		}
		if !wait(ctx) {
			return fmt.Errorf("make a box: %w", ctx.Err())
		}
	}
}

// connect gives the box a network of two addresses, of the range for
// measurements: the machine's and its own. A link's name is taken or free in one
// step, so that boxes of other processes are in nobody's way.
func (b *box) connect(ctx context.Context) error {
	pid := strconv.Itoa(b.init.cmd.Process.Pid)
	for b.number = 0; ; b.number++ {
		err := command(ctx, "ip", "link", "add", b.link(), "type", "veth", "peer", "name", "eth0", "netns", pid)
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "File exists") || b.number == 255 {
			return err
		}
	}
	return errors.Join(
		command(ctx, "ip", "address", "add", b.hostAddress()+"/30", "dev", b.link()),
		command(ctx, "ip", "link", "set", b.link(), "up"),
		command(ctx, "nsenter", "--target", pid, "--net", "ip", "address", "add", b.address()+"/30", "dev", "eth0"),
		command(ctx, "nsenter", "--target", pid, "--net", "ip", "link", "set", "eth0", "up"),
		command(ctx, "nsenter", "--target", pid, "--net", "ip", "route", "add", "default", "via", b.hostAddress()),
	)
}

func (b *box) link() string        { return fmt.Sprintf("hyperfleet%d", b.number) }
func (b *box) hostAddress() string { return fmt.Sprintf("198.18.%d.1", b.number) }
func (b *box) address() string     { return fmt.Sprintf("198.18.%d.2", b.number) }

// run starts a program in the box, in all of its namespaces. It ends with the box.
func (b *box) run(name, path string, arguments ...string) (*process, error) {
	enter := []string{"--target", strconv.Itoa(b.init.cmd.Process.Pid), "--mount", "--net", "--pid", "--", path}
	return spawn(b.dir, name, tied(), "nsenter", append(enter, arguments...)...)
}

// runConnected starts a program in the box's network alone.
func (b *box) runConnected(name, path string, arguments ...string) (*process, error) {
	enter := []string{"--target", strconv.Itoa(b.init.cmd.Process.Pid), "--net", "--", path}
	return spawn(b.dir, name, tied(), "nsenter", append(enter, arguments...)...)
}

// close ends every process of the box, and takes away what is not its own.
func (b *box) close() error {
	if b == nil {
		return nil
	}
	b.init.end(syscall.SIGKILL) // it has ended when all others have
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := command(ctx, "ip", "link", "delete", b.link())
	if err != nil && strings.Contains(err.Error(), "Cannot find device") {
		err = nil // it went with the box
	}
	return errors.Join(err, b.eachCgroup(removeCgroup))
}

// cgroup is the name of the box's control groups: its directory's, so that
// whoever finds one abandoned finds the others.
func (b *box) cgroup() string { return filepath.Base(b.dir) }

// eachCgroup calls do with the box's place in every hierarchy of control groups.
func (b *box) eachCgroup(do func(path string) error) error {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil { // one hierarchy
		return do(filepath.Join(root, b.cgroup()))
	}
	all, err := filepath.Glob(filepath.Join(root, "*", "cgroup.procs"))
	for _, procs := range all {
		info, statErr := os.Lstat(filepath.Dir(procs))
		if statErr == nil && info.Mode()&os.ModeSymlink != 0 {
			continue // another name of a hierarchy
		}
		err = errors.Join(err, statErr, do(filepath.Join(filepath.Dir(procs), b.cgroup())))
	}
	return err
}

// removeCgroup removes a control group and those in it, which have no processes
// any more, the innermost first.
func removeCgroup(path string) error {
	inner, _ := filepath.Glob(filepath.Join(path, "*", "cgroup.procs")) // the pattern is right
	for _, procs := range inner {
		if err := removeCgroup(filepath.Dir(procs)); err != nil {
			return err
		}
	}
	if err := syscall.Rmdir(path); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("remove control group %s: %w", path, err)
	}
	return nil
}

// command runs a program of the machine to its end.
func command(ctx context.Context, name string, arguments ...string) error {
	path, err := lookup(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, arguments...) //nolint:gosec // programs of this package
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
