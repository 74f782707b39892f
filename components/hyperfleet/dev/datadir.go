package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dataDir is the directory in which everything lives that `hyperfleet dev`
// writes. One process holds it at a time.
type dataDir struct {
	path      string
	temporary bool
	lock      *os.File
}

// openDataDir makes path, or a temporary directory for "", and locks it. It is
// searchable by others because PostgreSQL, which refuses root, may run as
// another user below it; what is secret in it has its own mode.
func openDataDir(path string) (*dataDir, error) {
	d := &dataDir{path: path}
	if path == "" {
		tmp, err := os.MkdirTemp("", "hyperfleet-dev-")
		if err != nil {
			return nil, fmt.Errorf("make a temporary data directory: %w", err)
		}
		if err := os.Chmod(tmp, 0o711); err != nil { //nolint:gosec // see above: searchable, not readable
			return nil, fmt.Errorf("open the data directory to the database's user: %w", err)
		}
		d.path, d.temporary = tmp, true
	}
	abs, err := filepath.Abs(d.path)
	if err != nil {
		return nil, fmt.Errorf("resolve data directory %s: %w", d.path, err)
	}
	d.path = abs
	if err := os.MkdirAll(d.path, 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("make data directory %s: %w", d.path, err)
	}
	d.lock, err = os.OpenFile(d.join("dev.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", d.path, err)
	}
	if err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(
			fmt.Errorf("data directory %s is in use by another hyperfleet dev: stop it or choose another with --data-dir", d.path),
			d.lock.Close())
	}
	return d, nil
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

// close gives the directory up, and removes a temporary one.
func (d *dataDir) close() error {
	err := d.lock.Close()
	if d.temporary {
		err = errors.Join(err, os.RemoveAll(d.path))
	}
	return err
}
