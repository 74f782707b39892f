package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

const (
	// concurrency is how many Jobs of one adapter run at once; the others wait.
	concurrency = 8
	// grace is how long a Job may take to stop at shutdown before it is left behind.
	grace = 8 * time.Second
	// An end that was not taken is offered again after between nothing and a
	// delay that doubles from the first to the last of these.
	firstDelay, lastDelay = 200 * time.Millisecond, 10 * time.Second
)

// Runner runs Jobs as directories. It may serve several adapters at once.
type Runner struct {
	root string
	exec Exec
	log  *slog.Logger

	creating sync.RWMutex // held for writing while leftovers are removed
	mu       sync.Mutex
	loops    map[string]*loop // by adapter, while Run runs
}

// loop is one adapter's Run.
type loop struct {
	ctx    context.Context
	ended  func(context.Context, jobspec.End) error
	slots  chan struct{}
	all    sync.WaitGroup
	active map[string]bool // names of Jobs that somebody attends to; under Runner.mu
}

// New returns a runner of Jobs under root, which is created when needed.
func New(root string, exec Exec, log *slog.Logger) *Runner {
	return &Runner{root: root, exec: exec, log: log, loops: map[string]*loop{}}
}

// Ensure makes the directory of j exist and says whether this call made it. If
// the Job has ended, its end is delivered again.
func (r *Runner) Ensure(ctx context.Context, j jobspec.Job) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	r.creating.RLock()
	defer r.creating.RUnlock()
	if err := os.MkdirAll(r.root, 0o750); err != nil {
		return false, fmt.Errorf("create directory of jobs: %w", err)
	}
	created, err := create(r.root, j)
	if err != nil {
		return false, err
	}
	r.attend(j.Identity.Adapter, j.Name)
	return created, nil
}

// InFlight counts the adapter's Jobs whose end was not taken yet.
func (r *Runner) InFlight(adapter string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.loops[adapter]; l != nil {
		return len(l.active)
	}
	return 0
}

// Run runs the adapter's Jobs until ctx ends, beginning with those that an
// earlier process left. It then waits at most 8 seconds for Jobs to stop; one
// that was cut off has no result and is run again by the next Run.
func (r *Runner) Run(ctx context.Context, adapter string, ended func(context.Context, jobspec.End) error) error {
	l := &loop{ctx: ctx, ended: ended, slots: make(chan struct{}, concurrency), active: map[string]bool{}}
	r.mu.Lock()
	if r.loops[adapter] != nil {
		r.mu.Unlock()
		return fmt.Errorf("run jobs of adapter %s: they are run already", adapter)
	}
	r.loops[adapter] = l
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.loops, adapter) // from here on nobody joins l.all
		r.mu.Unlock()
		l.all.Wait()
	}()
	if err := r.adopt(adapter); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// adopt attends to the Jobs of earlier processes and removes what never became one.
func (r *Runner) adopt(adapter string) error {
	r.creating.Lock()
	defer r.creating.Unlock()
	entries, err := os.ReadDir(r.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(r.root, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), freshPrefix(adapter)):
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove unfinished job: %w", err)
			}
		case !e.IsDir() || strings.HasPrefix(e.Name(), ".") || exists(filepath.Join(path, reportedFile)):
		default:
			var job record
			if err := read(filepath.Join(path, jobFile), &job); err != nil {
				r.log.Warn("not the directory of a job", "job", e.Name(), "err", err)
			} else if job.Identity.Adapter == adapter {
				r.attend(adapter, e.Name())
			}
		}
	}
	return nil
}

// attend sees the Job to its end, unless somebody does or nobody runs the
// adapter's Jobs now; then the next Run finds it.
func (r *Runner) attend(adapter, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.loops[adapter]
	if l == nil || l.active[name] || l.ctx.Err() != nil {
		return
	}
	l.active[name] = true
	l.all.Go(func() {
		defer func() {
			r.mu.Lock()
			delete(l.active, name)
			r.mu.Unlock()
		}()
		if err := r.see(l, filepath.Join(r.root, name)); err != nil {
			r.log.Error("job left for the next start", "job", name, "err", err)
		}
	})
}

// see runs the Job at path unless it has a result, and delivers its end.
func (r *Runner) see(l *loop, path string) error {
	var job record
	if err := read(filepath.Join(path, jobFile), &job); err != nil {
		return err
	}
	var res result
	err := read(filepath.Join(path, resultFile), &res)
	if errors.Is(err, fs.ErrNotExist) {
		var done bool
		if res, done, err = r.run(l, path, job); err != nil || !done {
			return err
		}
	} else if err != nil {
		return err
	}
	end := jobspec.End{
		Name: job.Name, Identity: job.Identity, AttemptBase: job.AttemptBase, Succeeded: res.Succeeded,
		Message: res.Message, Data: res.Data, Started: res.Started, Ended: res.Ended,
	}
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		if l.ended(l.ctx, end) == nil {
			return write(filepath.Join(path, reportedFile), nil)
		}
		select {
		case <-l.ctx.Done():
			return nil
		case <-time.After(rand.N(delay) + time.Millisecond):
		}
	}
}
