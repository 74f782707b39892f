package dir

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// errSuperseded says that there is a Job for a newer generation.
var errSuperseded = errors.New("a newer generation needs it no more")

// resource is what a Job is about.
type resource struct {
	typ fleet.ResourceType
	id  string
}

// attended is a Job that somebody sees to its end.
type attended struct {
	resource
	generation int64
	ctx        context.Context // of its run
	cancel     context.CancelCauseFunc
	older      []*attended   // to wait for before it runs
	stopped    chan struct{} // closed when it does not run, and will not
}

// attend sees the Job to its end, unless somebody does or nobody runs the
// adapter's Jobs now; then the next Run finds it.
func (r *Runner) attend(name string, id jobspec.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.loops[id.Adapter]
	if l == nil || l.active[name] != nil || l.ctx.Err() != nil {
		return
	}
	a := l.queue(id)
	l.active[name] = a
	l.all.Go(func() {
		defer func() {
			a.cancel(nil)
			r.mu.Lock()
			delete(l.active, name)
			r.mu.Unlock()
		}()
		if err := r.see(l, a, filepath.Join(r.root, name)); err != nil {
			r.log.Error("job left for the next start", "job", name, "err", err)
		}
	})
}

// queue puts a Job in the order of its resource's generations: it cancels the
// older Jobs, and the Job itself if there is a newer one.
func (l *loop) queue(id jobspec.Identity) *attended {
	a := &attended{resource: resource{id.ResourceType, id.ResourceID}, generation: id.Generation, stopped: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(l.ctx)
	l.newest[a.resource] = max(l.newest[a.resource], a.generation)
	if a.generation < l.newest[a.resource] {
		a.cancel(errSuperseded)
	}
	for _, other := range l.active {
		if other.resource == a.resource && other.generation < a.generation {
			other.cancel(errSuperseded)
			a.older = append(a.older, other)
		}
	}
	return a
}

// Cancel cancels the adapter's Jobs of s for generations before its own, and says
// whether none of them runs any more.
func (r *Runner) Cancel(_ context.Context, adapter string, s jobspec.Subject) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.loops[adapter]
	if l == nil {
		return true, nil
	}
	stopped := true
	for _, a := range l.active {
		if a.resource != (resource{s.Type, s.Resource.ID}) || a.generation >= s.Resource.Generation {
			continue
		}
		a.cancel(errSuperseded)
		select {
		case <-a.stopped:
		default:
			stopped = false
		}
	}
	return stopped, nil
}

// see runs the Job at path unless it has a result, and delivers its end. A Job
// that is superseded before it has a result ends without one.
func (r *Runner) see(l *loop, a *attended, path string) error {
	job, res, done, err := r.outcome(l, a, path)
	if errors.Is(context.Cause(a.ctx), errSuperseded) && err == nil && !done {
		r.log.Info("job cancelled", "job", job.Name, "adapter", job.Identity.Adapter, "cluster", job.Identity.ResourceID, "err", errSuperseded)
		return write(filepath.Join(path, reportedFile), nil)
	}
	if err != nil || !done {
		return err
	}
	end := jobspec.End{
		Name: job.Name, Identity: job.Identity, AttemptBase: job.AttemptBase, Succeeded: res.Succeeded,
		Message: res.Message, Data: res.Data, Started: res.Started, Ended: res.Ended,
	}
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		if l.keeper.Ended(l.ctx, end) == nil {
			return write(filepath.Join(path, reportedFile), nil)
		}
		select {
		case <-l.ctx.Done():
			return nil
		case <-time.After(rand.N(delay) + time.Millisecond):
		}
	}
}

// outcome is the result of the Job, which runs if it has none yet. done is
// false if it still has none.
func (r *Runner) outcome(l *loop, a *attended, path string) (job record, res result, done bool, err error) {
	defer close(a.stopped)
	if err := read(filepath.Join(path, jobFile), &job); err != nil {
		return job, res, false, err
	}
	err = read(filepath.Join(path, resultFile), &res)
	if !errors.Is(err, fs.ErrNotExist) {
		return job, res, err == nil, err
	}
	for _, older := range a.older {
		select {
		case <-older.stopped:
		case <-a.ctx.Done():
			return job, res, false, nil
		}
	}
	res, done, err = r.run(a.ctx, l, path, job)
	return job, res, done, err
}
