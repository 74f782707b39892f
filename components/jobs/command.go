package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Process is what of a process a job uses.
type Process struct {
	Args           []string // without the program's name
	Getenv         func(string) string
	Stdout, Stderr io.Writer
}

// Main runs one job as a process of its own and returns its exit code, as
// [ExitCode] says. Its input is as the adapters give it to their Jobs:
// CLUSTER_ID, GENERATION, ATTEMPT, ADAPTER and MODE in the environment
// (RESOURCE_TYPE and RESOURCE_ID too, for a pool); cluster.json, nodepool.json
// and dependencies.json in a directory. INPUT_DIR, OUTPUT_DIR and
// TERMINATION_LOG name other places than a pod's. The end goes to the
// termination log, as {"message":…,"data":{…}}, and the message of a failure to
// stderr too. With --dry-run nothing is changed: stdout has what would be done,
// and how it would end.
func Main(ctx context.Context, name string, p Process) int {
	k, err := kindOf(name)
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return exit.Failed
	}
	understood := false // a command began, which says its own end
	root := &cobra.Command{
		Use: name + "-job", Short: "Run the job of the " + name + " adapter, as its environment says",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) { understood = true },
	}
	dryRun := root.Flags().Bool("dry-run", false, "change nothing, and print what would be done")
	root.RunE = func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context(), k, *dryRun) }
	for _, command := range k.commands {
		root.AddCommand(command())
	}
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err = root.ExecuteContext(ctx)
	if err != nil && !understood {
		err = p.end(Result{}, err) // a Job's pod has nobody who reads stderr
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", name, err)
	}
	return ExitCode(err)
}

// run runs the job. Its error has been left in the termination log.
func (p Process) run(ctx context.Context, k kind, dryRun bool) error {
	log, err := service.NewLogger(p.Stderr, cmp.Or(p.Getenv("LOG_LEVEL"), "info"), "json")
	if err != nil {
		return p.end(Result{}, err)
	}
	in, err := readInput(k.name, p.Getenv)
	if err != nil {
		return p.end(Result{}, oneLine{err})
	}
	in.Log = log
	if !dryRun {
		result, err := Run(ctx, k.name, in)
		return p.end(result, err)
	}
	in.Plan = p.Stdout
	result, err := Run(ctx, k.name, in)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "would end: %s\n%s\n", result.Message, result.Data)
	return err
}

// end leaves how the job ended in the termination log. It returns failure, and
// what kept it from being written.
func (p Process) end(result Result, failure error) error {
	e := ended(result)
	if failure != nil {
		e.Message = failure.Error()
	}
	text, err := e.fit(maxTermination)
	if err != nil && failure != nil { // its message matters more
		e.Data = nil
		text, err = e.fit(maxTermination)
	}
	// Kubernetes mounts the log as a file that cannot be replaced, only written.
	if writeErr := os.WriteFile(cmp.Or(p.Getenv("TERMINATION_LOG"), terminationLog), text, 0o600); writeErr != nil {
		err = errors.Join(err, fmt.Errorf("write the termination log: %w", writeErr))
	}
	return errors.Join(failure, err)
}
