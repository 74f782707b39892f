package disk

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAReaderNeverSeesHalfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "file")
	texts := [][]byte{bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<20)}
	if _, err := Write(path, texts[0], Readable); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			for n := range 20 {
				if _, err := Write(path, texts[(n+i)%2], Readable); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { writers.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, texts[0]) && !bytes.Equal(got, texts[1]) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestWriteChangesOnlyWhatDiffers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for name, c := range []struct {
		text    string
		mode    os.FileMode
		changed bool
	}{
		{"a", Readable, true}, {"a", Readable, false}, {"b", Readable, true}, {"b", Private, true}, {"b", Private, false},
	} {
		changed, err := Write(path, []byte(c.text), c.mode)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || changed != c.changed || info.Mode().Perm() != c.mode {
			t.Errorf("step %d: changed %v, %v, %v", name, changed, err, info.Mode())
		}
	}
}

func TestALockHasOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "file")
	var holders atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			unlock, err := Lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if n := holders.Add(1); n != 1 {
				t.Errorf("%d holders at once", n)
			}
			runtime.Gosched()
			holders.Add(-1)
			unlock()
		})
	}
	all.Wait()
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ctx, path); err == nil {
		t.Error("a second holder")
	}
	unlock()
	if unlock, err = Lock(t.Context(), path); err != nil {
		t.Error(err)
	} else {
		unlock()
	}
}
