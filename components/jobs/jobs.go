package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// ModeCreate is the mode of jobs that bring a cluster to its desired state.
const ModeCreate = "create"

// Input is everything that a job depends on, but for its files.
type Input struct {
	Cluster      fleet.Resource
	NodePool     *fleet.Resource            // the pool of it that the job is about; nil = the cluster itself
	Dependencies map[string]json.RawMessage // job kind -> data that it returned for this generation
	Generation   int64
	Attempt      int
	Mode         string // ModeCreate
	Config       Config
	Log          *slog.Logger // nil = nowhere
}

// Result is what a job that succeeded says.
type Result struct {
	Message string          // for people, one line
	Data    json.RawMessage // an object, for the jobs that depend on this one
}

// job is one kind: it returns its message and its data.
type job func(context.Context, Input) (string, any, error)

// kinds are the jobs in the order in which a cluster needs them.
func kinds() []struct {
	name string
	run  job
} {
	return []struct {
		name string
		run  job
	}{
		{"validation", validate}, {"dns", nameHosts}, {"placement", place}, {"pullsecret", credential}, {"hypershift", describe},
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
// names everything that is wrong.
func Run(ctx context.Context, kind string, in Input) (Result, error) {
	result, err := run(ctx, kind, in)
	if err == nil {
		return result, nil
	}
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("stopped before its end: %w", ctx.Err())
	}
	return Result{}, oneLine{err}
}

func run(ctx context.Context, kind string, in Input) (Result, error) {
	at := slices.Index(Kinds(), kind)
	if at < 0 {
		return Result{}, fmt.Errorf("there is no job %q; there are %s", kind, strings.Join(Kinds(), ", "))
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
	if err := errors.Join(in.check(kind), in.Config.Validate(), ctx.Err()); err != nil {
		return Result{}, err
	}
	log := in.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("adapter", kind, "cluster", in.Cluster.ID)
	if in.NodePool != nil {
		log = log.With("nodepool", in.NodePool.ID)
	}
	log.Debug("job started", "generation", in.Generation, "attempt", in.Attempt)
	message, data, err := kinds()[at].run(ctx, in)
	if err != nil {
		log.Info("job failed", "err", err)
		return Result{}, err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return Result{}, fmt.Errorf("encode the data of %s: %w", kind, err)
	}
	log.Debug("job succeeded", "message", message)
	return Result{Message: message, Data: text}, nil
}

// check refuses what would make a path or a manifest that is not ours.
func (in Input) check(kind string) error {
	var problems []error
	if in.Mode != ModeCreate {
		problems = append(problems, fmt.Errorf("mode %q: %s knows only %q", in.Mode, kind, ModeCreate))
	}
	if !idForm.MatchString(in.Cluster.ID) {
		problems = append(problems, fmt.Errorf("cluster id %q: want a UUID", in.Cluster.ID))
	}
	if !nameForm.MatchString(in.Cluster.Name) {
		problems = append(problems, fmt.Errorf("cluster name %q: want at most 63 lower-case letters, digits and dashes", in.Cluster.Name))
	}
	if in.NodePool != nil {
		problems = append(problems, in.checkPool(kind))
	}
	if !tenantForm.MatchString(in.Cluster.Tenant) {
		problems = append(problems, fmt.Errorf("tenant %q: want at most 32 lower-case letters, digits and dashes", in.Cluster.Tenant))
	}
	return errors.Join(problems...)
}

// poolKinds are the jobs that know node pools.
var poolKinds = []string{"validation", "hypershift"}

func (in Input) checkPool(kind string) error {
	var problems []error
	if !slices.Contains(poolKinds, kind) {
		problems = append(problems, fmt.Errorf("%s has nothing to do for a node pool; %s have", kind, strings.Join(poolKinds, " and ")))
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
