package pgdev

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needRoot skips what only root does: to run the server as somebody else.
func needRoot(t *testing.T) account {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root alone drops privileges, and this is not root")
	}
	acc, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func TestRootsServerRunsAsSomebodyElse(t *testing.T) {
	t.Parallel()
	acc := needRoot(t)
	s := start(t, Options{})
	info, err := os.Stat(filepath.Join(s.room.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid == 0 || st.Uid != acc.uid {
		t.Errorf("the server runs as uid %d, want %d", st.Uid, acc.uid)
	}
}

func TestAPrivateTemporaryDirectoryIsOpenedForSearchAlone(t *testing.T) {
	t.Parallel()
	acc := needRoot(t)
	parent, err := os.MkdirTemp("/tmp", "pgdev-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	dir := filepath.Join(parent, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := acc.openUp(dir); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{parent, dir} {
		info, err := os.Stat(d)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o711 {
			t.Errorf("%s has mode %s, want 0711", d, info.Mode().Perm())
		}
	}
}

func TestAnUnsearchableParentIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	needRoot(t)
	Need(t)
	// A home directory is ours, but not below a public sticky directory.
	home, err := os.MkdirTemp("/var", "pgdev-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	_, err = Start(testContext(t), Options{DataDir: filepath.Join(home, "pg")})
	if err == nil || !strings.Contains(err.Error(), home+" ") || !strings.Contains(err.Error(), "chmod o+x "+home) {
		t.Fatalf("Start below an unsearchable directory: %v", err)
	}
	info, err := os.Stat(home)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is now %s", info.Mode().Perm())
	}
}
