package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

// stopJob is how long a Job's process may take from SIGKILL until its output is
// closed too.
const stopJob = time.Second

// NewCommandRunner returns a [Runner] without Kubernetes that runs the command
// of the AdapterConfig's job template as a process, with the environment and the
// files that a container would have. Artefacts go to the directory artifacts
// beside the Jobs'.
func NewCommandRunner(p Process, log *slog.Logger) (Runner, error) {
	a, err := p.resolve()
	if err != nil {
		return nil, err
	}
	var problems []error
	if len(a.Spec.JobTemplate.Command) == 0 {
		problems = append(problems, fmt.Errorf("AdapterConfig %q: spec.jobTemplate.command: set it: without Kubernetes the adapter runs it as a process", a.Name))
	}
	if d := a.Spec.Deletion; d != nil && len(d.JobTemplate.Command) == 0 {
		problems = append(problems, fmt.Errorf("AdapterConfig %q: spec.deletion.jobTemplate.command: set it: without Kubernetes the adapter runs it as a process", a.Name))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	data, err := filepath.Abs(p.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the directory of jobs: %w", err)
	}
	artefacts := filepath.Join(data, "artifacts") // they outlive the Jobs' directories
	return NewDirRunner(filepath.Join(data, "jobs"), func(ctx context.Context, job DirJob) (Result, error) {
		return runCommand(ctx, a, job, artefacts)
	}, log), nil
}

// runCommand runs one Job.
func runCommand(ctx context.Context, a v1alpha1.AdapterConfig, job DirJob, artefacts string) (Result, error) {
	t := jobspec.Template(a, job.Mode)
	out, err := os.OpenFile(filepath.Join(job.Dir, "log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return Result{}, fmt.Errorf("open the job's log: %w", err)
	}
	defer out.Close()
	end := filepath.Join(job.Dir, "termination.json")
	if err := os.Remove(end); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Result{}, fmt.Errorf("remove the end of an earlier run: %w", err)
	}
	cmd := exec.CommandContext(ctx, t.Command[0], append(t.Command[1:len(t.Command):len(t.Command)], t.Args...)...) //nolint:gosec // the operator's command
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = job.Dir, out, out, stopJob
	cmd.Env = append(os.Environ(),
		"CLUSTER_ID="+job.ClusterID, "RESOURCE_TYPE="+string(job.ResourceType), "RESOURCE_ID="+job.ResourceID, "HYPERFLEET_API="+a.Spec.HyperfleetAPI.URL, "ADAPTER="+job.Adapter, "MODE="+job.Mode,
		"GENERATION="+strconv.FormatInt(job.Generation, 10), "ATTEMPT="+strconv.Itoa(job.Attempt),
		"INPUT_DIR="+job.Dir, "OUTPUT_DIR="+artefacts, "TERMINATION_LOG="+end)
	for _, e := range t.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
	}
	failed := cmd.Run()
	said, err := readEnd(end)
	switch {
	case failed != nil:
		return Result{}, errors.New(cmp.Or(said.Message, failed.Error()))
	case err != nil:
		return Result{}, err
	}
	return said, nil
}

// readEnd reads what the Job wrote to its termination log; nothing is no error.
func readEnd(path string) (Result, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(text) == 0 {
		return Result{}, nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("read the job's end: %w", err)
	}
	message, data := jobspec.Said(text)
	return Result{Message: message, Data: data}, nil
}
