package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Modes of a job.
const (
	ModeCreate = "create" // bring the resource to its desired state
	ModeDelete = "delete" // undo that
	ModeCheck  = "check"  // look again, put back what drifted and renew what expires
)

// Input is everything that a job depends on, but for its files.
type Input struct {
	Cluster      fleet.Resource
	NodePool     *fleet.Resource            // the pool of it that the job is about; nil = the cluster itself
	Dependencies map[string]json.RawMessage // job kind -> data that it returned for this generation
	Generation   int64
	Attempt      int
	Mode         string    // ModeCreate, ModeDelete or ModeCheck
	Plan         io.Writer // nil = do it; else change nothing and only say here, for people, what would be done
	Config       Config
	Log          *slog.Logger // nil = nowhere
}

// Result is what a job says.
type Result struct {
	Message string          // for people, one line
	Data    json.RawMessage // an object, for the jobs that depend on this one; of a job that failed, what is wrong
}

// job is one mode of a kind: it returns its message and its data.
type job func(context.Context, Input) (string, any, error)

// kind is one of the jobs.
type kind struct {
	name                  string
	pools                 bool // it knows node pools
	create, remove, check job
	commands              []func() *cobra.Command // besides running the job
}

// modes are what a kind does in each mode.
func (k kind) modes() map[string]job {
	return map[string]job{ModeCreate: k.create, ModeDelete: k.remove, ModeCheck: k.check}
}

// kinds are the jobs in the order in which a cluster needs them. To check is to
// create again, because a second run changes exactly what is not as it should be.
func kinds() []kind {
	return []kind{
		{name: "validation", pools: true, create: validate, check: validate, remove: forget, commands: []func() *cobra.Command{testBundle}},
		{name: "dns", create: nameHosts, check: nameHosts, remove: unnameHosts},
		{name: "placement", create: place, check: place, remove: free, commands: []func() *cobra.Command{simulatePlacement}},
		{name: "pullsecret", create: credential, check: credential, remove: discredit},
		{name: "hypershift", pools: true, create: describe, check: describe, remove: undescribe},
	}
}

// Kinds returns the kinds of jobs in the order in which a cluster needs them.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// Forms of what becomes part of paths and of manifests.
var (
	idForm     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	nameForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	tenantForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
)

// Run runs one job. An error's text is for the cluster's owner, on one line; it
// names everything that is wrong, and [ExitCode] says whether trying again may
// help. The result of a failure has data only.
func Run(ctx context.Context, kind string, in Input) (Result, error) {
	result, err := run(ctx, kind, in)
	if err == nil {
		return result, nil
	}
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("stopped before its end: %w", ctx.Err())
	}
	return Result{Data: result.Data}, oneLine{err}
}

// ExitCode is the exit code of a job's process: 0 = done, 1 = failed for good,
// 75 = try again.
func ExitCode(err error) int { return exit.Code(err) }

func run(ctx context.Context, name string, in Input) (Result, error) {
	k, err := kindOf(name)
	if err != nil {
		return Result{}, err
	}
	if in.Cluster.Tenant == "" {
		in.Cluster.Tenant = "default"
	}
	if len(in.Cluster.Spec) == 0 {
		in.Cluster.Spec = json.RawMessage("{}")
	}
	if in.NodePool != nil && len(in.NodePool.Spec) == 0 {
		pool := *in.NodePool
		pool.Spec, in.NodePool = json.RawMessage("{}"), &pool
	}
	if err := errors.Join(in.check(k), in.Config.Validate(), ctx.Err()); err != nil {
		return Result{}, err
	}
	log := in.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("adapter", k.name, "cluster", in.Cluster.ID)
	if in.NodePool != nil {
		log = log.With("nodepool", in.NodePool.ID)
	}
	log.Debug("job started", "mode", in.Mode, "generation", in.Generation, "attempt", in.Attempt)
	message, data, err := k.modes()[in.Mode](ctx, in)
	if err != nil {
		log.Info("job failed", "err", err)
		data = nil
		if detailed, ok := errors.AsType[interface {
			error
			Data() any
		}](err); ok {
			data = detailed.Data()
		}
	} else {
		log.Debug("job succeeded", "message", message)
	}
	result := Result{Message: message}
	if data != nil {
		text, encodeErr := json.Marshal(data)
		if encodeErr != nil {
			return Result{}, fmt.Errorf("encode the data of %s: %w", k.name, encodeErr)
		}
		result.Data = text
	}
	return result, err
}

func kindOf(name string) (kind, error) {
	all := kinds()
	at := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
	if at < 0 {
		return kind{}, fmt.Errorf("there is no job %q; there are %s", name, strings.Join(Kinds(), ", "))
	}
	return all[at], nil
}

// check refuses what would make a path or a manifest that is not ours.
func (in Input) check(k kind) error {
	var problems []error
	if k.modes()[in.Mode] == nil {
		problems = append(problems, fmt.Errorf("mode %q: want %s, %s or %s", in.Mode, ModeCreate, ModeDelete, ModeCheck))
	}
	if !idForm.MatchString(in.Cluster.ID) {
		problems = append(problems, fmt.Errorf("cluster id %q: want a UUID", in.Cluster.ID))
	}
	if !nameForm.MatchString(in.Cluster.Name) {
		problems = append(problems, fmt.Errorf("cluster name %q: want at most 63 lower-case letters, digits and dashes", in.Cluster.Name))
	}
	if in.NodePool != nil {
		problems = append(problems, in.checkPool(k))
	}
	if !tenantForm.MatchString(in.Cluster.Tenant) {
		problems = append(problems, fmt.Errorf("tenant %q: want at most 32 lower-case letters, digits and dashes", in.Cluster.Tenant))
	}
	return errors.Join(problems...)
}

func (in Input) checkPool(k kind) error {
	var problems []error
	if !k.pools {
		problems = append(problems, fmt.Errorf("%s has nothing to do for a node pool", k.name))
	}
	if !idForm.MatchString(in.NodePool.ID) {
		problems = append(problems, fmt.Errorf("node pool id %q: want a UUID", in.NodePool.ID))
	}
	if !nameForm.MatchString(in.NodePool.Name) {
		problems = append(problems, fmt.Errorf("node pool name %q: want at most 63 lower-case letters, digits and dashes", in.NodePool.Name))
	}
	return errors.Join(problems...)
}

// maxMessage is the longest message that a report takes, in bytes.
const maxMessage = 4096

// oneLine is an error whose problems stand on one line, as messages do.
type oneLine struct{ error }

func (e oneLine) Error() string {
	return cut(strings.ReplaceAll(e.error.Error(), "\n", "; "), maxMessage)
}

func (e oneLine) Unwrap() error { return e.error }

// cut shortens s to at most limit bytes, without halving a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	keep := max(0, limit-len("…"))
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return s[:keep] + "…"
}
