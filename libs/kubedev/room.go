package kubedev

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// prefix begins the names of all servers' directories; the owner's pid follows.
const prefix = "hyperfleet-kube-"

// makeRoom makes the directory in which a server keeps everything, and removes
// those of processes that were killed.
func makeRoom() (string, error) {
	for _, dir := range abandoned() {
		if (&box{dir: dir}).eachCgroup(removeCgroup) == nil { // else its last processes are about to end: the next has it
			os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("make the server's directory: %w", err)
	}
	return dir, nil
}

// abandoned lists the directories whose owners are gone.
func abandoned() []string {
	all, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // the pattern is right
	var gone []string
	for _, dir := range all {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			gone = append(gone, dir)
		}
	}
	return gone
}
