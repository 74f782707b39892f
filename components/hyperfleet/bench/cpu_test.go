package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of processor times under /proc on Linux.
const tick = 10 * time.Millisecond

// times reads a process's parent and the processor time that it used, with that
// of children which ended.
func times(pid string) (parent string, used time.Duration) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return "", 0 // it ended
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	return f[1], time.Duration(ticks) * tick
}

func (p *process) cpu() time.Duration {
	_, used := times(strconv.Itoa(p.cmd.Process.Pid))
	return used
}

// postgresCPU is what the server and all its connections have used.
func (x *stack) postgresCPU() time.Duration {
	x.Helper()
	text, err := os.ReadFile(filepath.Join(x.dir, "data", "postmaster.pid"))
	if err != nil {
		x.Fatal(err)
	}
	root := strings.Fields(string(text))[0]
	_, sum := times(root)
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		x.Fatal(err)
	}
	for _, dir := range all {
		if parent, used := times(filepath.Base(dir)); parent == root {
			sum += used
		}
	}
	return sum
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is the most that a process has held, in MiB.
func (p *process) memory() float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
