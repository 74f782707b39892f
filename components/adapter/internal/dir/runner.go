package dir

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

const (
	// concurrency is how many Jobs of one adapter run at once; the others wait.
	concurrency = 8
	// grace is how long a Job may take to stop at shutdown before it is left behind.
	grace = 8 * time.Second
	// sweepEvery is how often directories past their time are looked for.
	sweepEvery = 10 * time.Minute
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
	keeper jobspec.Keeper
	slots  chan struct{}
	all    sync.WaitGroup
	active map[string]*attended // Jobs that somebody attends to, by name; under Runner.mu
	newest map[resource]int64   // generations of the Jobs that there are; under Runner.mu
}

// New returns a runner of Jobs under root, which is created when needed.
func New(root string, exec Exec, log *slog.Logger) *Runner {
	return &Runner{root: root, exec: exec, log: log, loops: map[string]*loop{}}
}

// Ensure makes the directory of j exist and says whether this call made it. If
// the Job has ended, its end is delivered again. It cancels the Jobs of the same
// adapter and resource for older generations, and the Job starts when those have
// stopped; if there is one for a newer generation, it ends without having run.
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
	r.attend(j.Name, j.Identity)
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
func (r *Runner) Run(ctx context.Context, adapter string, keeper jobspec.Keeper) error {
	l := &loop{ctx: ctx, keeper: keeper, slots: make(chan struct{}, concurrency), active: map[string]*attended{}, newest: map[resource]int64{}}
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
	if err := r.adopt(l, adapter); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sweepEvery):
			r.sweep(l, adapter)
		}
	}
}
