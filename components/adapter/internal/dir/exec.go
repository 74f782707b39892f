package dir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Exec is what a Job does. It returns soon after ctx ends. The text of its error
// is the message with which the attempt fails.
type Exec func(ctx context.Context, job Job) (Result, error)

// Result is what a Job that succeeded has to say.
type Result struct {
	Message string          // for people, at most 4 KiB
	Data    json.RawMessage // object of at most 32 KiB for the adapters that depend on this one, or nil
}

// Job is a Job as [Exec] sees it.
type Job struct {
	Name         string
	Adapter      string
	ResourceType fleet.ResourceType
	ResourceID   string
	ClusterID    string // of the cluster that it is about, or whose pool
	Generation   int64
	Attempt      int
	Mode         string
	Dir          string                     // its directory, absolute if the runner's is
	Cluster      fleet.Resource             // cluster.json
	NodePool     *fleet.Resource            // nodepool.json; nil unless it is about a pool
	Dependencies map[string]json.RawMessage // dependencies.json: adapter -> data of its report
	Log          *slog.Logger               // writes to the file log in Dir
}

// run waits for a free slot and runs the Job. It returns false if the end of
// ctx came first: then the Job has no result.
func (r *Runner) run(ctx context.Context, l *loop, path string, job record) (result, bool, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return result{}, false, nil
	}
	if ctx.Err() != nil {
		return result{}, false, nil
	}
	in, logs, err := r.open(path, job)
	if err != nil {
		return result{}, false, err
	}
	defer logs.Close()
	deadline := time.Duration(job.DeadlineSeconds * float64(time.Second))
	running, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	res := result{Started: time.Now().UTC()}
	said, failure, returned := r.await(l.ctx, running, in)
	switch {
	case !returned:
		return result{}, false, fmt.Errorf("job did not stop within %s", grace)
	case failure != nil && ctx.Err() != nil:
		return result{}, false, nil
	case failure != nil && errors.Is(running.Err(), context.DeadlineExceeded):
		res.Message = fmt.Sprintf("did not end within %s: %v", deadline, failure)
	case failure != nil:
		res.Message = failure.Error()
	default:
		res.Succeeded, res.Message, res.Data = true, said.Message, said.Data
	}
	if len(res.Data) > 0 && !json.Valid(res.Data) {
		res.Succeeded, res.Data, res.Message = false, nil, "the job's data is not JSON"
	}
	res.Ended = time.Now().UTC()
	in.Log.Info("ended", "succeeded", res.Succeeded, "message", res.Message)
	raw, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return result{}, false, fmt.Errorf("encode %s: %w", resultFile, err)
	}
	if err := replace(filepath.Join(path, resultFile), raw); err != nil {
		return result{}, false, fmt.Errorf("write %s: %w", resultFile, err)
	}
	return res, true, nil
}

// open reads the Job's input and opens its log.
func (r *Runner) open(path string, job record) (Job, *os.File, error) {
	in := Job{
		Name: job.Name, Adapter: job.Identity.Adapter, ResourceType: job.Identity.ResourceType, ResourceID: job.Identity.ResourceID, Generation: job.Identity.Generation,
		Attempt: job.Identity.Attempt, Mode: job.Identity.Mode, Dir: path,
	}
	if err := read(filepath.Join(path, jobspec.File(fleet.Clusters)), &in.Cluster); err != nil {
		return Job{}, nil, err
	}
	in.ClusterID = in.Cluster.ID
	if in.ResourceType == fleet.NodePools {
		if err := read(filepath.Join(path, jobspec.File(fleet.NodePools)), &in.NodePool); err != nil {
			return Job{}, nil, err
		}
	}
	if err := read(filepath.Join(path, jobspec.DependenciesFile), &in.Dependencies); err != nil {
		return Job{}, nil, err
	}
	logs, err := os.OpenFile(filepath.Join(path, logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return Job{}, nil, err
	}
	in.Log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})).With("attempt", in.Attempt)
	return in, logs, nil
}

// await runs the Job and waits for it; once the process is to end, no longer
// than the grace. A panic is a failure of the Job alone.
func (r *Runner) await(process, ctx context.Context, in Job) (said Result, failure error, returned bool) {
	type answer struct {
		said    Result
		failure error
	}
	answers := make(chan answer, 1)
	go func() {
		a := answer{failure: errors.New("the job ended without an answer")}
		defer func() {
			if p := recover(); p != nil {
				in.Log.Error("panic", "value", p, "stack", string(debug.Stack()))
				a.failure = fmt.Errorf("the job panicked: %v", p)
			}
			answers <- a
		}()
		a.said, a.failure = r.exec(ctx, in)
	}()
	select {
	case a := <-answers:
		return a.said, a.failure, true
	case <-process.Done():
	}
	select {
	case a := <-answers:
		return a.said, a.failure, true
	case <-time.After(grace):
		return Result{}, nil, false
	}
}
