package adapter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/handle"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/rehearsal"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// render is the command line of a dry run.
type render struct {
	process                     *Process
	cluster, nodepool, statuses string // files
	event                       bool
}

// RenderCommand returns `render` of a program whose settings fill p.
func RenderCommand(p *Process, program service.Program, s *service.Settings) *cobra.Command {
	r := &render{process: p}
	c := &cobra.Command{
		Use: "render", Short: "Show what the adapter of --config-file would do about a cluster, and do nothing", Args: cobra.NoArgs,
		Long: `Prints the verdict of each dependency and precondition, and the Job and the Secret that are created once all hold:
YAML, with everything else as comments. With --event it goes the way of an event, and prints each step and the
Job that it would create now, if any. The other AdapterConfigs of the file count as registered and required.`,
	}
	f := c.Flags()
	f.StringVar(&r.cluster, "cluster", "", "file with the cluster, as the API answers it")
	f.StringVar(&r.nodepool, "nodepool", "", "file with a node pool of the cluster, which it is then about")
	f.StringVar(&r.statuses, "statuses", "", "file with reports, as the API lists them; default: those of the resource's status")
	f.BoolVar(&r.event, "event", false, "go the way of an event about the resource")
	c.RunE = program.Loaded(s, func(c *cobra.Command, _ []string) error { return r.run(c.Context(), c.OutOrStdout()) })
	return c
}

func (r *render) run(ctx context.Context, out io.Writer) error {
	if r.process.ConfigFile == "" {
		return errors.New("render: give the AdapterConfig with --config-file")
	}
	a, err := r.process.resolve()
	if err != nil {
		return err
	}
	chain, err := compile(a)
	if err != nil {
		return err
	}
	known, err := r.known()
	if err != nil {
		return err
	}
	subject, err := r.subject()
	if err != nil {
		return err
	}
	stage := rehearsal.New(subject, known)
	metrics, err := handle.NewMetrics(prometheus.NewRegistry(), a.Spec.AdapterType, func() int { return 0 })
	if err != nil {
		return err
	}
	handler := handle.New(a, chain, stage, stage, metrics, slog.New(slog.DiscardHandler))
	if !r.event {
		return show(ctx, out, a, handler, subject)
	}
	event, err := reconcile.Event("render", fleet.ReconcileEvent{
		ResourceType: subject.Type, ResourceID: subject.Resource.ID, Reason: fleet.Requested, Generation: subject.Resource.Generation,
	}, fleet.At(time.Now()))
	if err != nil {
		return err
	}
	outcome := handler.Handle(ctx, broker.Delivery{Event: event, Attempt: 1})
	remark(out, "event about %s %s, generation %d", subject.Type, subject.Resource.ID, subject.Resource.Generation)
	for i, step := range append(stage.Steps, ending(outcome)) {
		remark(out, "%d. %s", i+1, step)
	}
	if stage.Job == nil {
		return nil
	}
	return objects(out, *stage.Job)
}

// show prints how everything stands, and the first attempt's Job.
func show(ctx context.Context, out io.Writer, a v1alpha1.AdapterConfig, h *handle.Handler, s jobspec.Subject) error {
	if !slices.Contains(a.Spec.ResourceTypes, string(s.Type)) {
		return fmt.Errorf("render: adapter %s does not handle %s, only %s", a.Spec.AdapterType, s.Type, strings.Join(a.Spec.ResourceTypes, ", "))
	}
	remark(out, "adapter %s on %s %s, generation %d", a.Spec.AdapterType, s.Type, s.Resource.ID, s.Resource.Generation)
	attempt := jobspec.Attempt{Number: 1, Mode: jobspec.ModeCreate}
	if s.Resource.Deleting() {
		if a.Spec.Deletion == nil {
			remark(out, "it is being deleted: Complete without a job, for there is no deletion.jobTemplate")
			return nil
		}
		remark(out, "it is being deleted: dependencies and preconditions are not asked")
		attempt.Mode = jobspec.ModeDelete
	} else {
		findings, err := h.Explain(ctx, s)
		if err != nil {
			return fmt.Errorf("render: %w", err)
		}
		starts := true
		for _, f := range findings {
			mark := "met"
			if !f.Met {
				mark, starts = "not met", false
			}
			remark(out, "%s, %s: %s: %s", mark, f.Kind, f.What, f.Why)
		}
		if !starts {
			remark(out, "it would not start now; once all are met, it creates:")
		}
	}
	job, err := jobspec.New(a, s, attempt)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	return objects(out, job)
}

// objects prints what would be created.
func objects(out io.Writer, j jobspec.Job) error {
	job, secret, err := jobspec.Manifests(j)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	secret.StringData, secret.Data = map[string]string{}, nil // the same, legible
	for name, content := range j.Input {
		secret.StringData[name] = string(content)
	}
	for _, object := range []any{job, secret} {
		text, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("render: %w", err)
		}
		fmt.Fprintf(out, "---\n%s", text)
	}
	return nil
}

// remark prints a comment, however many lines it has.
func remark(out io.Writer, format string, args ...any) {
	fmt.Fprintln(out, "# "+strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n#   "))
}

// ending says what becomes of the event.
func ending(o broker.Outcome) string {
	switch o.Kind {
	case broker.Acked:
		return "acknowledge the event"
	case broker.Rejected:
		return "give the event to the dead letters: " + o.Reason
	case broker.Paused:
		return "pause: " + o.Reason
	default:
		return fmt.Sprintf("take the event again after %s", o.After)
	}
}

// known are the adapters of the config file, as if each were registered and required.
func (r *render) known() ([]fleet.Adapter, error) {
	text, err := os.Open(r.process.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("open config file: %w", err)
	}
	defer text.Close()
	_, configs, err := v1alpha1.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("config file %s: %w", r.process.ConfigFile, err)
	}
	var all []fleet.Adapter
	for _, a := range configs {
		in := instanceOf(r.process.complete(a), r.process.Region)
		all = append(all, fleet.Adapter{Name: a.Spec.AdapterType, Kind: "Adapter", RequiredFor: in.ResourceTypes, ResourceTypes: in.ResourceTypes,
			Dependencies: in.Dependencies, HasDeletion: in.HasDeletion, Instances: []fleet.AdapterInstance{{NewAdapterInstance: in}}})
	}
	return all, nil
}

// subject reads what the dry run is about.
func (r *render) subject() (jobspec.Subject, error) {
	if r.cluster == "" {
		return jobspec.Subject{}, errors.New("render: give the cluster with --cluster")
	}
	cluster, err := resource(r.cluster)
	if err != nil {
		return jobspec.Subject{}, err
	}
	s := jobspec.Subject{Type: fleet.Clusters, Resource: cluster}
	if r.nodepool != "" {
		pool, err := resource(r.nodepool)
		if err != nil {
			return s, err
		}
		if pool.OwnerID() != cluster.ID {
			return s, fmt.Errorf("%s: belongs to cluster %q, not to %s of %s", r.nodepool, pool.OwnerID(), cluster.ID, r.cluster)
		}
		s = jobspec.Subject{Type: fleet.NodePools, Resource: pool, Owner: &cluster}
	}
	if r.statuses == "" {
		return s, nil
	}
	s.Resource.Status.Adapters, err = reports(r.statuses)
	return s, err
}

// resource reads one as the API answers it.
func resource(path string) (fleet.Resource, error) {
	var r fleet.Resource
	if err := document(path, &r); err != nil {
		return r, err
	}
	if r.ID == "" || r.Generation < 1 {
		return r, fmt.Errorf("%s: has no id or no generation: give the resource as the API answers it", path)
	}
	r.Status.Phase = cmp.Or(r.Status.Phase, fleet.Pending)
	return r, nil
}

// reports reads the latest of each adapter from a list, newest first.
func reports(path string) ([]fleet.AdapterStatus, error) {
	var list struct {
		Items []fleet.AdapterStatus `json:"items"`
	}
	if err := document(path, &list); err != nil {
		return nil, err
	}
	var latest []fleet.AdapterStatus
	for _, s := range list.Items {
		if !slices.ContainsFunc(latest, func(a fleet.AdapterStatus) bool { return a.AdapterName == s.AdapterName }) {
			latest = append(latest, s)
		}
	}
	return latest, nil
}

func document(path string, into any) error {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
