package disk

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAReaderNeverSeesHalfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "file")
	texts := [][]byte{bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<20)}
	if _, err := (Files{}).Write(path, texts[0], Readable); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			for n := range 20 {
				if _, err := (Files{}).Write(path, texts[(n+i)%2], Readable); err != nil {
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
		changed, err := Files{}.Write(path, []byte(c.text), c.mode)
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
			unlock, err := Files{}.Lock(t.Context(), path)
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
	unlock, err := Files{}.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Files{}).Lock(ctx, path); err == nil {
		t.Error("a second holder")
	}
	unlock()
	if unlock, err = (Files{}).Lock(t.Context(), path); err != nil {
		t.Error(err)
	} else {
		unlock()
	}
}

func TestAPlanChangesNothing(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if _, err := (Files{}).Write(there, []byte("old"), Readable); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	f := Files{Plan: &said}
	unlock, err := f.Lock(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	for name, c := range map[string]struct {
		change func() (bool, error)
		want   bool
	}{
		"a new file":        {func() (bool, error) { return f.Write(filepath.Join(dir, "sub", "new"), []byte("text\n"), Readable) }, true},
		"a secret":          {func() (bool, error) { return f.Write(filepath.Join(dir, "key"), []byte("s3cr3t"), Private) }, true},
		"what is there":     {func() (bool, error) { return f.Write(there, []byte("old"), Readable) }, false},
		"a removal":         {func() (bool, error) { return f.Remove(there) }, true},
		"a removal of none": {func() (bool, error) { return f.Remove(filepath.Join(dir, "absent")) }, false},
	} {
		if changed, err := c.change(); err != nil || changed != c.want {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	for _, want := range []string{"sub/new:\ntext\n", "key:\n(a secret)\n", "would remove " + there} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is not in %s", want, &said)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || strings.Contains(said.String(), "s3cr3t") {
		t.Errorf("left %v, %v; said %s", left, err, &said)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := (Files{}).Write(path, []byte("a"), Readable); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if removed, err := (Files{}).Remove(path); err != nil || removed != want {
			t.Errorf("removed %v, %v", removed, err)
		}
	}
}
