package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// retryLock is how often a taken lock is tried again.
const retryLock = 5 * time.Millisecond

// Lock takes the lock of path: one holder at a time among all goroutines of
// all processes. It waits until ctx ends. The lock is a file of its own beside
// path, which stays: removing it would let two holders in. A process that dies
// gives its locks back. Where nothing is changed, nothing is locked.
func (f Files) Lock(ctx context.Context, path string) (unlock func(), err error) {
	if f.Plan != nil {
		return func() {}, nil
	}
	return lock(ctx, path)
}

func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", filepath.Base(path), err)
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, Private)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	again := time.NewTicker(retryLock)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for the lock of %s: %w", path, ctx.Err())
		}
	}
}
