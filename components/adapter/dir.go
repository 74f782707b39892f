package adapter

import (
	"log/slog"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/dir"
)

// Exec is what a Job does. It returns soon after its context ends. The text of
// its error is the message with which the attempt fails.
type Exec = dir.Exec

// DirJob is a Job as [Exec] sees it.
type DirJob = dir.Job

// Result is what a Job that succeeded has to say.
type Result = dir.Result

// NewDirRunner returns a [Runner] without Kubernetes: one directory per Job
// under root (created when needed), named like the Job, with cluster.json,
// dependencies.json, job.json, result.json and log. exec runs in this process.
// log gets what concerns the runner itself.
func NewDirRunner(root string, exec Exec, log *slog.Logger) Runner {
	return dir.New(root, exec, log)
}
