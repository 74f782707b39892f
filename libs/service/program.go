package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// stopWithin bounds the time from SIGTERM to the exit; it is a little less than
// the 10 s that are promised.
const stopWithin = 9500 * time.Millisecond

// Program is a process: how it is called, how it is set, and what it does.
type Program struct {
	Name  string // as in "hyperfleet-api"
	Short string // one line on what it is for

	// Declare adds every setting to s.Flags and s.Sections. s.FileFlag is
	// "config-file" unless it says otherwise.
	Declare func(s *Settings)
	// Validate judges the settings once they are loaded and names every problem; nil = nothing to judge.
	Validate func() error
	// Run does the work until ctx ends.
	Run func(ctx context.Context) error
}

// Command returns the program's command line, with `config view`. Flags are
// persistent: subcommands that a caller adds share them, and call Loaded.
func (p Program) Command() (*cobra.Command, *Settings) {
	cmd := &cobra.Command{
		Use: p.Name, Short: p.Short, Version: described(), Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
	}
	s := &Settings{Flags: cmd.PersistentFlags(), FileFlag: "config-file", Sections: map[string]any{}}
	if p.Declare != nil {
		p.Declare(s)
	}
	if s.FileFlag != "" && s.Flags.Lookup(s.FileFlag) == nil {
		s.Flags.String(s.FileFlag, "", "YAML file with settings")
	}
	s.gather()
	cmd.RunE = p.Loaded(s, func(cmd *cobra.Command, _ []string) error { return p.Run(cmd.Context()) })
	config := &cobra.Command{Use: "config", Short: "Look at the configuration", Args: cobra.NoArgs}
	config.AddCommand(&cobra.Command{
		Use: "view", Short: "Print the effective configuration as YAML, secrets as ***", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { // bad settings too: whoever mends them wants to see them
			judged := p.load(s, cmd)
			return errors.Join(s.View(cmd.OutOrStdout()), judged)
		},
	})
	cmd.AddCommand(config)
	return cmd, s
}

// Loaded wraps a subcommand's RunE: it runs with the settings loaded and judged.
func (p Program) Loaded(s *Settings, run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := p.load(s, cmd); err != nil {
			return err
		}
		return run(cmd, args)
	}
}

// load loads the settings and names every problem of the flags, the file, the
// environment and what Validate says of them all.
func (p Program) load(s *Settings, cmd *cobra.Command) error {
	err := errors.Join(unknownFlags(cmd), s.Load(os.Environ()))
	if p.Validate != nil {
		err = errors.Join(err, p.Validate())
	}
	if err != nil {
		return fmt.Errorf("configuration:\n%s", indent(err.Error()))
	}
	return nil
}

func indent(text string) string {
	return "  - " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  - ")
}

// Main runs a program's command with args until it is done or a signal ends it,
// and returns the exit code. After SIGINT, SIGTERM or SIGHUP a program that is
// not done within 10 s is given up; a second signal ends it at once.
func Main(cmd *cobra.Command, args []string) int {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop)
	strict(cmd)
	expectUnknown(cmd, args)
	cmd.SetArgs(args)
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	return conclude(cmd, await(ctx, done, stopWithin))
}

// await waits for the command, and for no longer than patient once ctx has ended.
func await(ctx context.Context, done <-chan error, patient time.Duration) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(patient):
		return fmt.Errorf("did not stop within %s of being asked to", patient)
	}
}

func conclude(cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", cmd.Name(), err)
	var says interface{ ExitCode() int } // where scripts tell kinds of failure apart
	if errors.As(err, &says) {
		return says.ExitCode()
	}
	return 1
}
