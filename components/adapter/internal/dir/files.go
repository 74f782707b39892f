package dir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// Files of a Job's directory, beside those of its input.
const (
	jobFile      = "job.json"    // what the Job is: [record]
	resultFile   = "result.json" // how it ended: [result]
	reportedFile = "reported"    // its end was taken
	logFile      = "log"
)

// record is job.json.
type record struct {
	Name            string           `json:"name"`
	Identity        jobspec.Identity `json:"identity"`
	AttemptBase     int              `json:"attemptBase"`
	DeadlineSeconds float64          `json:"deadlineSeconds"`
	TTLSeconds      float64          `json:"ttlSeconds"` // how long the directory is kept after its end was taken
}

// result is result.json.
type result struct {
	Succeeded bool            `json:"succeeded"`
	Message   string          `json:"message"`
	Data      json.RawMessage `json:"data,omitempty"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended"`
}

// create makes the directory of j, complete at once, and says whether it was
// this call that made it.
func create(root string, j jobspec.Job) (bool, error) {
	path := filepath.Join(root, j.Name)
	if exists, err := same(path, j); exists || err != nil {
		return false, err
	}
	fresh, err := os.MkdirTemp(root, freshPrefix(j.Identity.Adapter))
	if err != nil {
		return false, fmt.Errorf("create job %s: %w", j.Name, err)
	}
	defer os.RemoveAll(fresh) // nothing is left here once it has its name
	files := map[string][]byte{}
	for name, content := range j.Input {
		files[name] = content
	}
	files[jobFile], err = json.MarshalIndent(record{j.Name, j.Identity, j.AttemptBase, j.Deadline.Seconds(), j.TTL.Seconds()}, "", "  ")
	if err != nil {
		return false, fmt.Errorf("create job %s: %w", j.Name, err)
	}
	for name, content := range files {
		if err := write(filepath.Join(fresh, name), content); err != nil {
			return false, fmt.Errorf("create job %s: %w", j.Name, err)
		}
	}
	// A rename never replaces a directory with something in it: of two, one wins.
	if err := os.Rename(fresh, path); err != nil {
		if exists, other := same(path, j); exists || other != nil {
			return false, other
		}
		return false, fmt.Errorf("create job %s: %w", j.Name, err)
	}
	return true, nil
}

// same says whether path is the directory of j. Something else under that name
// is [jobspec.ErrForeign].
func same(path string, j jobspec.Job) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look for job %s: %w", j.Name, err)
	}
	var there record
	if err := read(filepath.Join(path, jobFile), &there); err != nil {
		return false, fmt.Errorf("%w: %s is not the directory of a job", jobspec.ErrForeign, j.Name)
	}
	if there.Identity != j.Identity {
		return false, fmt.Errorf("%w: %s belongs to %+v", jobspec.ErrForeign, j.Name, there.Identity)
	}
	return true, nil
}

// freshPrefix starts the name of a directory that is not complete, or no more. The
// underscore ends the adapter's name: no adapter's name has one.
func freshPrefix(adapter string) string { return ".new-" + adapter + "_" }

func read(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}

// write stores content for good.
func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// replace stores content under path at once: a reader sees all of it or what
// was there before.
func replace(path string, content []byte) error {
	if err := write(path+".new", content); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
