package pgdev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user as whom the server runs. PostgreSQL refuses root, so
// root's servers run as somebody with fewer rights.
type account struct {
	name     string
	uid, gid uint32
	other    bool // not the user of this process
}

// serverAccount returns the account for servers of this process.
func serverAccount() (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return account{name: "uid " + strconv.Itoa(uid), uid: uint32(uid), gid: uint32(os.Getegid())}, nil //nolint:gosec // ids are not negative here
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil && uid != 0 {
			return account{name: "user " + name, uid: uint32(uid), gid: uint32(gid), other: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and neither user postgres nor user nobody exists to run it as: " +
		"add one (useradd --system postgres) or run this command as an ordinary user")
}

// attributes returns what makes a child run as the account, in a process group
// of its own: a Ctrl-C at the terminal must reach the server only through Stop.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// canReach returns an error that names the first directory on the way to path
// which the account must not pass.
func (a account) canReach(path string) error {
	if !a.other {
		return nil
	}
	for _, dir := range chain(path) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !a.maySearch(info) {
			return fmt.Errorf("PostgreSQL runs as %s, because it refuses root, and that user cannot pass %s (mode %s): "+
				"run chmod o+x %s, or choose a directory elsewhere, for example below /var/cache/hyperfleet", a.name, dir, info.Mode().Perm(), dir)
		}
	}
	return nil
}

// maySearch says whether the account may look names up in a directory.
func (a account) maySearch(info fs.FileInfo) bool {
	bit := fs.FileMode(0o001)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case st.Uid == a.uid:
			bit = 0o100
		case st.Gid == a.gid:
			bit = 0o010
		}
	}
	return info.Mode().Perm()&bit != 0
}

// openUp makes the directories on the way to dir searchable (never readable)
// for the account, where that is ours to decide: dir itself, and directories of
// this user directly or indirectly below a sticky public one, which is what
// mktemp -d and the like make. A home directory is never touched.
func (a account) openUp(dir string) error {
	if !a.other {
		return nil
	}
	public := false
	for _, d := range chain(dir) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		ours := ok && int(st.Uid) == os.Geteuid() && (public || d == dir)
		if ours && !a.maySearch(info) {
			if err := os.Chmod(d, info.Mode().Perm()|0o011); err != nil {
				return fmt.Errorf("make %s searchable for PostgreSQL: %w", d, err)
			}
		}
		public = public || info.Mode()&fs.ModeSticky != 0 && info.Mode().Perm()&0o002 != 0
	}
	return nil
}

// chain lists the directories from the root down to path, which is absolute.
func chain(path string) []string {
	if path == filepath.Dir(path) {
		return []string{path}
	}
	return append(chain(filepath.Dir(path)), path)
}
