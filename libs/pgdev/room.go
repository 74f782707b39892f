package pgdev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// room is the directory of one server: `data` (PostgreSQL's own), `password`,
// `postgres.log`, and `lock`, which the process that uses it holds.
type room struct {
	dir       string
	temporary bool
	acc       account
	lock      *os.File
}

func (r *room) data() string            { return filepath.Join(r.dir, "data") }
func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

// openRoom makes dir, or a temporary directory for "", and takes its lock.
func openRoom(dir string, acc account) (*room, error) {
	r := &room{dir: dir, acc: acc}
	if dir == "" {
		base, err := temporaryBase(acc)
		if err != nil {
			return nil, err
		}
		sweep(base)
		if r.dir, err = os.MkdirTemp(base, temporaryPrefix); err != nil {
			return nil, fmt.Errorf("make a temporary data directory: %w", err)
		}
		r.temporary = true
	}
	var err error
	if r.dir, err = filepath.Abs(r.dir); err != nil {
		return nil, fmt.Errorf("resolve data directory: %w", err)
	}
	if err := r.enter(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *room) enter() error {
	if err := os.MkdirAll(r.dir, 0o711); err != nil { //nolint:gosec // searchable: the server may run as another user
		return fmt.Errorf("make data directory %s: %w", r.dir, err)
	}
	lock, err := os.OpenFile(r.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		r.temporary = false // whoever holds it, it is not ours to remove
		return errors.Join(fmt.Errorf("data directory %s is in use by another process: stop that one, or choose another directory", r.dir), lock.Close())
	}
	r.lock = lock
	if err := r.acc.openUp(r.dir); err != nil {
		return err
	}
	return r.acc.canReach(r.dir)
}

// close gives the lock up, and removes a temporary directory. Processes of a
// killed server may still write for a moment, hence the second try.
func (r *room) close() error {
	var err error
	if r.temporary {
		if err = os.RemoveAll(r.dir); err != nil {
			time.Sleep(200 * time.Millisecond) //nolint:forbidigo // nothing tells when they are gone
			err = os.RemoveAll(r.dir)
		}
	}
	if r.lock != nil {
		err = errors.Join(err, r.lock.Close())
		r.lock = nil
	}
	return err
}

// initialise makes the database cluster unless there is one, and returns the
// superuser's password. It works in a directory beside the final one, so that a
// process that dies on the way leaves nothing half made.
func (r *room) initialise(ctx context.Context, bin string, durable bool) (string, error) {
	if exists(filepath.Join(r.data(), "PG_VERSION")) {
		if err := r.checkVersion(bin); err != nil {
			return "", err
		}
		password, err := os.ReadFile(r.path("password"))
		if err != nil {
			return "", fmt.Errorf("read the database's password: %w", err)
		}
		return strings.TrimSpace(string(password)), nil
	}
	password := rand.Text()
	if err := os.WriteFile(r.path("password"), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the database's password: %w", err)
	}
	fresh, err := r.freshData()
	if err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	args := []string{"--pgdata=" + fresh, "--username=" + superuser, "--pwfile=" + r.path("password"),
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"}
	if !durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...) //nolint:gosec // a program that was looked for
	cmd.Env, cmd.Dir, cmd.SysProcAttr = environment(), fresh, r.acc.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, lastLines(string(out)))
	}
	if err := os.Rename(fresh, r.data()); err != nil {
		return "", fmt.Errorf("put data directory in place: %w", err)
	}
	return password, nil
}

// freshData makes an empty directory that nobody else writes to: the initdb of
// a process that was killed may still go on in its own. Such directories are
// removed as far as they can be; the next start has the rest.
func (r *room) freshData() (string, error) {
	const prefix = "data.new-"
	old, _ := filepath.Glob(r.path(prefix + "*")) // the pattern is well formed
	for _, dir := range old {
		_ = os.RemoveAll(dir)
	}
	fresh, err := os.MkdirTemp(r.dir, prefix)
	if err != nil {
		return "", err
	}
	return fresh, errors.Join(r.acc.own(fresh), r.acc.own(r.path("password")))
}

// checkVersion refuses a data directory of another major version, which the
// server would refuse in words that do not say what to do.
func (r *room) checkVersion(bin string) error {
	made, err := os.ReadFile(filepath.Join(r.data(), "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("read the data directory's version: %w", err)
	}
	if found := fmt.Sprint(major(bin)); strings.TrimSpace(string(made)) != found {
		return fmt.Errorf("data directory %s was made by PostgreSQL %s and %s has version %s: choose another directory, or install version %[2]s again",
			r.dir, strings.TrimSpace(string(made)), bin, found)
	}
	return nil
}

// environment is this process's without what would steer PostgreSQL, and with
// messages in English.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}

// logTail returns the end of the server's log, for an error message.
func (r *room) logTail() string {
	f, err := os.Open(r.path("postgres.log"))
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 4096
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("; the end of its log %s:\n%s", r.path("postgres.log"), lastLines(string(text)))
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// temporaryPrefix begins the names of temporary data directories.
const temporaryPrefix = "hyperfleet-pg-"

// temporaryBase is where temporary directories go: the usual place, unless the
// server's user could not reach them there.
func temporaryBase(acc account) (string, error) {
	if dir, err := filepath.Abs(os.TempDir()); err == nil && acc.canReach(dir) == nil {
		return dir, nil
	}
	const fallback = "/var/cache/hyperfleet"
	if err := os.MkdirAll(fallback, 0o755); err != nil { //nolint:gosec // searchable: the server runs as another user
		return "", fmt.Errorf("make a directory for temporary data: %w", err)
	}
	return fallback, nil
}

// sweep removes temporary directories whose process was killed. One that is an
// hour old and whose lock is free has nobody.
func sweep(base string) {
	old, _ := filepath.Glob(filepath.Join(base, temporaryPrefix+"*")) // the pattern is well formed
	for _, dir := range old {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Hour {
			continue
		}
		sweepOne(dir)
	}
}

func sweepOne(dir string) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // another user's
	}
	if err == nil {
		defer lock.Close()
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return
		}
	}
	_ = os.RemoveAll(dir) // another user's stays; it does no harm
}
