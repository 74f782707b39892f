package pgdev

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent has the kernel stop the server when this process ends in
// whatever way. SIGQUIT is the quickest way for PostgreSQL to end that still
// stops all its processes; the next start recovers from the log.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }

// guard has nothing to do: the kernel guards.
func guard(int) (unguard func(), err error) { return func() {}, nil }

// children lists the processes that pid started and that still run.
func children(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid)) // gone: none
	var all []int
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			all = append(all, child)
		}
	}
	return all
}
