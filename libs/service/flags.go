package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// given is the value of a flag of the command line. What it cannot take it notes
// for [Settings.Load], so that parsing goes on and every problem is named.
type given struct {
	pflag.Value

	name     string
	problems *[]error
}

func (g *given) Set(text string) error {
	if err := trySet(g.Value, func() error { return g.Value.Set(text) }); err != nil {
		*g.problems = append(*g.problems, fmt.Errorf("--%s: must be of type %s: %w", g.name, g.Type(), err))
	}
	return nil
}

// gather has s note what is wrong with flags.
func (s *Settings) gather() {
	s.Flags.VisitAll(func(f *pflag.Flag) {
		f.Value = &given{f.Value, f.Name, &s.given}
		if f.DefValue == "[]" || f.DefValue == "0s" { // pflag's help knows them as empty in its own types only
			f.DefValue = ""
		}
	})
}

// inner is the value that a flag was declared with.
func inner(v pflag.Value) pflag.Value {
	if g, ok := v.(*given); ok {
		return g.Value
	}
	return v
}

// trySet sets v, which keeps what it has if it cannot: some of pflag's values
// are zero after an error, and would be judged as if somebody had set that.
func trySet(v pflag.Value, set func() error) error {
	before := v.String()
	err := set()
	if err != nil && v.String() != before {
		err = errors.Join(err, v.Set(before))
	}
	return err
}

// unknown stands for a flag that is not there. It takes everything.
type unknown struct{}

func (unknown) String() string   { return "" }
func (unknown) Set(string) error { return nil }
func (unknown) Type() string     { return "unknown" }

// expectUnknown declares the flags of args that nobody did, so that parsing goes
// on; [unknownFlags] names them.
func expectUnknown(root *cobra.Command, args []string) {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return // it is named when the command runs
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	cmd.InheritedFlags() // merges them into Flags
	for {
		err := cmd.Flags().ParseAll(rest, func(*pflag.Flag, string) error { return nil })
		var none *pflag.NotExistError
		if !errors.As(err, &none) || none.GetSpecifiedShortnames() != "" {
			return
		}
		name := none.GetSpecifiedName()
		f := cmd.Flags().VarPF(unknown{}, name, "", "")
		f.Hidden = true
		if i := slices.Index(rest, "--"+name); i+1 == len(rest) || i >= 0 && strings.HasPrefix(rest[i+1], "-") {
			f.NoOptDefVal = "none" // what follows is not its value
		}
	}
}

// unknownFlags names the flags that were given to cmd and are not there.
func unknownFlags(cmd *cobra.Command) error {
	var problems []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, ok := f.Value.(unknown); ok {
			problems = append(problems, fmt.Errorf("--%s: unknown flag", f.Name))
		}
	})
	return errors.Join(problems...)
}

// strict has every command that has others fail, and say which there are, where
// the one that is meant is missing or unknown.
func strict(cmd *cobra.Command) {
	cmd.InitDefaultCompletionCmd()
	harden(cmd)
}

func harden(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		return
	}
	for _, c := range cmd.Commands() {
		harden(c)
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return errors.Join(fmt.Errorf("%s: unknown command %q%s", cmd.CommandPath(), args[0], commands(cmd)), unknownFlags(cmd))
	}
	if !cmd.Runnable() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			return errors.Join(fmt.Errorf("%s: needs a command%s", cmd.CommandPath(), commands(cmd)), unknownFlags(cmd))
		}
	}
}

// commands lists the commands that cmd has.
func commands(cmd *cobra.Command) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return " (there are " + strings.Join(names, ", ") + ")"
}
