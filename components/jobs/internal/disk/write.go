package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Permissions of artefacts.
const (
	Private  fs.FileMode = 0o600 // holds a secret
	Readable fs.FileMode = 0o644
)

// Files changes files, or only says what it would change.
type Files struct {
	Plan io.Writer // nil = change them; else only say here, for people, what would be done
}

// Write makes path hold data, with exactly the permissions mode, in one step.
// Missing directories are made. It says whether anything had to change.
func (f Files) Write(path string, data []byte, mode fs.FileMode) (changed bool, err error) {
	same, err := holds(path, data, mode)
	if err != nil || same {
		return false, err
	}
	if f.Plan != nil {
		return true, f.plan(path, data, mode)
	}
	return write(path, data, mode)
}

// plan shows what would be written, but for secrets.
func (f Files) plan(path string, data []byte, mode fs.FileMode) error {
	if mode == Private {
		data = []byte("(a secret)\n")
	}
	_, err := fmt.Fprintf(f.Plan, "would write %s:\n%s", path, data)
	return err
}

// Remove removes the file, and says whether there was one.
func (f Files) Remove(path string) (changed bool, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if f.Plan != nil {
		_, err := fmt.Fprintf(f.Plan, "would remove %s\n", path)
		return true, err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", path, err)
	}
	return true, syncDir(filepath.Dir(path))
}

func write(path string, data []byte, mode fs.FileMode) (changed bool, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return false, fmt.Errorf("make the directory of %s: %w", filepath.Base(path), err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	return true, syncDir(dir)
}

func holds(path string, data []byte, mode fs.FileMode) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	if info.Mode().Perm() != mode || info.Size() != int64(len(data)) {
		return false, nil
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return bytes.Equal(old, data), nil
}

// syncDir makes a rename survive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// Read returns a file's content; a file that does not exist is nil.
func Read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
