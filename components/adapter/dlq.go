package adapter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// dlq is the command line of the dead letters.
type dlq struct {
	process      *Process
	has          map[string]broker.Open
	program      service.Program
	settings     *service.Settings
	subscription string
	timeout      time.Duration
	all, asJSON  bool
	limit        int
}

// DLQCommand returns `dlq list|show|replay|purge` of a program whose settings
// fill p, on the brokers that it has.
func DLQCommand(p *Process, has map[string]broker.Open, program service.Program, s *service.Settings) *cobra.Command {
	d := &dlq{process: p, has: has, program: program, settings: s}
	root := &cobra.Command{Use: "dlq", Short: "Look at the events that were given up, and deal with them", Args: cobra.NoArgs}
	root.PersistentFlags().StringVar(&d.subscription, "subscription", "", "subscription of the adapter (default: its only one)")
	root.PersistentFlags().DurationVar(&d.timeout, "timeout", time.Minute, "time that all of it may take, the broker's silence included")
	root.AddCommand(d.listCommand(), d.showCommand(),
		d.dealCommand("replay", "Give dead letters back to their subscription", broker.Replay),
		d.dealCommand("purge", "Remove dead letters for ever", broker.Purge))
	return root
}

func (d *dlq) listCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List dead letters, oldest first", Args: cobra.NoArgs}
	c.Flags().IntVar(&d.limit, "limit", 100, "letters to list at most")
	c.Flags().BoolVar(&d.asJSON, "json", false, "one JSON object per line, with the event")
	c.RunE = d.program.Loaded(d.settings, func(c *cobra.Command, _ []string) error {
		var found []broker.DeadLetter
		more := false
		_, err := d.review(c, func(l broker.DeadLetter) broker.Verdict {
			if more = len(found) >= d.limit; more {
				return broker.Stop
			}
			found = append(found, l)
			return broker.Keep
		})
		if err != nil {
			return err
		}
		if more {
			fmt.Fprintf(c.ErrOrStderr(), "there are more than %d: raise --limit\n", d.limit)
		}
		return d.print(c.OutOrStdout(), found)
	})
	return c
}

func (d *dlq) showCommand() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show one dead letter with its event", Args: cobra.ExactArgs(1),
		RunE: d.program.Loaded(d.settings, func(c *cobra.Command, ids []string) error {
			var found []broker.DeadLetter
			_, err := d.review(c, func(l broker.DeadLetter) broker.Verdict {
				if l.ID() == ids[0] {
					found = append(found, l)
				}
				return broker.Keep
			})
			if err == nil && len(found) == 0 {
				err = fmt.Errorf("there is no dead letter %q", ids[0])
			}
			if err != nil {
				return err
			}
			return printJSON(c.OutOrStdout(), found, "  ")
		})}
}

func (d *dlq) dealCommand(use, short string, verdict broker.Verdict) *cobra.Command {
	c := &cobra.Command{Use: use + " [ID…]", Short: short, Args: func(_ *cobra.Command, ids []string) error {
		if d.all == (len(ids) > 0) {
			return fmt.Errorf("%s: name the ids, or say --all", use)
		}
		return nil
	}}
	c.Flags().BoolVar(&d.all, "all", false, "every dead letter of the subscription")
	c.RunE = d.program.Loaded(d.settings, func(c *cobra.Command, ids []string) error {
		seen := map[string]bool{}
		done, err := d.review(c, func(l broker.DeadLetter) broker.Verdict {
			if !d.all && !slices.Contains(ids, l.ID()) {
				return broker.Keep
			}
			seen[l.ID()] = true
			return verdict
		})
		// Also after an error: what was done is done.
		fmt.Fprintf(c.OutOrStdout(), "%d replayed, %d purged, %d kept\n", done.Replayed, done.Purged, done.Kept)
		if err != nil {
			return err
		}
		var missing []error
		for _, id := range ids {
			if !seen[id] {
				missing = append(missing, fmt.Errorf("there is no dead letter %q", id))
			}
		}
		return errors.Join(missing...)
	})
	return c
}

// review shows judge the dead letters of the subscription. What the driver has
// to say meanwhile goes to the standard error.
func (d *dlq) review(c *cobra.Command, judge func(broker.DeadLetter) broker.Verdict) (broker.Reviewed, error) {
	spec, err := d.spec(c.Context())
	if err != nil {
		return broker.Reviewed{}, err
	}
	drivers := broker.NewDrivers(d.has, d.process.Brokers, broker.Deps{Log: slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))})
	ctx, cancel := context.WithTimeout(c.Context(), d.timeout)
	defer cancel()
	letters, err := DeadLettersFrom(drivers)(ctx, spec)
	if err != nil {
		return broker.Reviewed{}, err
	}
	done, err := letters.Review(ctx, judge)
	if err != nil && ctx.Err() != nil && c.Context().Err() == nil {
		err = fmt.Errorf("review of %s given up after --timeout %s: %w", spec.Subscription, d.timeout, err)
	}
	return done, err
}

// spec is the adapter's subscription that was asked for.
func (d *dlq) spec(ctx context.Context) (SubscriptionSpec, error) {
	cfg, err := d.process.found(ctx)
	if err != nil {
		return SubscriptionSpec{}, err
	}
	a, err := cfg.resolve()
	if err != nil {
		return SubscriptionSpec{}, err
	}
	all := subscriptions(a, d.process.Concurrency)
	if d.subscription == "" && len(all) == 1 {
		return all[0], nil
	}
	var names []string
	for _, s := range all {
		if s.Subscription == d.subscription {
			return s, nil
		}
		names = append(names, s.Subscription)
	}
	return SubscriptionSpec{}, fmt.Errorf("--subscription %q: AdapterConfig %q has %q", d.subscription, a.Name, names)
}

func (d *dlq) print(w io.Writer, found []broker.DeadLetter) error {
	if d.asJSON {
		return printJSON(w, found, "")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tRESOURCE\tDELIVERIES\tFIRST\tLAST\tREASON")
	for _, l := range found {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", l.ID(), cmp.Or(l.Event.Subject(), "-"), l.Deliveries, moment(l.First), moment(l.Last), l.Reason)
	}
	return t.Flush()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// printJSON writes each letter as an object.
func printJSON(w io.Writer, found []broker.DeadLetter, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", indent)
	for _, l := range found {
		shown := map[string]any{
			"id": l.ID(), "reason": l.Reason, "deliveries": l.Deliveries, "firstFailure": moment(l.First), "lastFailure": moment(l.Last),
		}
		if l.Malformed != nil {
			shown["malformed"] = string(l.Malformed)
		} else {
			shown["event"] = l.Event
		}
		if err := enc.Encode(shown); err != nil {
			return fmt.Errorf("print dead letter %s: %w", l.ID(), err)
		}
	}
	return nil
}
