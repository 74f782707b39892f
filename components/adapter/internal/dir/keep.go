package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// kept is a Job's directory that is complete.
type kept struct {
	name     string
	job      record
	reported time.Time // zero if its end was not taken
}

// adopt attends to the Jobs of earlier processes, and removes what never became
// one and what is past its time.
func (r *Runner) adopt(l *loop, adapter string) error {
	r.creating.Lock()
	defer r.creating.Unlock()
	jobs, err := r.list(adapter)
	if err != nil {
		return err
	}
	r.mu.Lock()
	for _, k := range jobs { // all of them before any runs
		of := resource{k.job.Identity.ResourceType, k.job.Identity.ResourceID}
		l.newest[of] = max(l.newest[of], k.job.Identity.Generation)
	}
	r.mu.Unlock()
	for _, k := range jobs {
		if k.reported.IsZero() {
			r.attend(k.name, k.job.Identity)
		}
	}
	r.remove(l, jobs)
	return nil
}

// sweep removes the directories that are past their time.
func (r *Runner) sweep(l *loop, adapter string) {
	r.creating.Lock()
	defer r.creating.Unlock()
	jobs, err := r.list(adapter)
	if err != nil {
		r.log.Warn("jobs past their time are kept", "adapter", adapter, "err", err)
		return
	}
	r.remove(l, jobs)
}

// list reads the adapter's Jobs and removes what is left of unfinished work.
func (r *Runner) list(adapter string) ([]kept, error) {
	entries, err := os.ReadDir(r.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var jobs []kept
	for _, e := range entries {
		path := filepath.Join(r.root, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), freshPrefix(adapter)):
			if err := os.RemoveAll(path); err != nil {
				return nil, fmt.Errorf("remove unfinished job: %w", err)
			}
		case !e.IsDir() || strings.HasPrefix(e.Name(), "."):
		default:
			k := kept{name: e.Name()}
			if err := read(filepath.Join(path, jobFile), &k.job); err != nil {
				r.log.Warn("not the directory of a job", "job", e.Name(), "err", err)
				continue
			}
			if k.job.Identity.Adapter != adapter {
				continue
			}
			if info, err := os.Stat(filepath.Join(path, reportedFile)); err == nil {
				k.reported = info.ModTime()
			}
			jobs = append(jobs, k)
		}
	}
	return jobs, nil
}

// remove removes those of jobs whose end was taken longer ago than they are to
// be kept. Nobody makes a Job meanwhile.
func (r *Runner) remove(l *loop, jobs []kept) {
	for _, k := range jobs {
		ttl := time.Duration(k.job.TTLSeconds * float64(time.Second))
		if k.reported.IsZero() || time.Since(k.reported) < ttl || !r.forget(l, k.name, k.job.Identity) {
			continue
		}
		// Out of its name at once: half a directory would be no Job's.
		old := filepath.Join(r.root, freshPrefix(k.job.Identity.Adapter)+k.name)
		err := os.Rename(filepath.Join(r.root, k.name), old)
		if err == nil {
			err = os.RemoveAll(old)
		}
		if err != nil {
			r.log.Warn("job past its time is kept", "job", k.name, "err", err)
		}
	}
}

// forget says whether nobody attends to the Job, and that it was there.
func (r *Runner) forget(l *loop, name string, id jobspec.Identity) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.active[name] != nil {
		return false
	}
	if of := (resource{id.ResourceType, id.ResourceID}); l.newest[of] == id.Generation {
		delete(l.newest, of)
	}
	return true
}
