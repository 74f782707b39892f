package api

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// rollupPage is how many resources one step of the walk takes.
const rollupPage = 100

// RollupCommand returns `rollup`, which brings a change of the required
// adapters to every resource, beside APIs that serve. It works with the
// application's database-url; loaded fills cfg first.
func RollupCommand(cfg *Config, loaded func(func(*cobra.Command, []string) error) func(*cobra.Command, []string) error) *cobra.Command {
	var all bool
	var perSecond int
	cmd := &cobra.Command{
		Use: "rollup --all", Short: "Roll up every resource, after the required or the registered adapters have changed", Args: cobra.NoArgs,
		RunE: loaded(func(cmd *cobra.Command, _ []string) error {
			if !all {
				return errors.New("rollup: say --all; reports roll up their own resource anyway")
			}
			if perSecond < 1 {
				return fmt.Errorf("rate: %d is not at least 1 a second", perSecond)
			}
			return withMigrator(*cfg, cmd.ErrOrStderr(), func(m *migrator) error { return m.rollUp(cmd.Context(), cmd.OutOrStdout(), perSecond) })
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "every resource of every type")
	cmd.Flags().IntVar(&perSecond, "rate", 200, "resources a second")
	return cmd
}

// rollUp walks over every resource at a measured pace and says how many there
// were, and how many changed.
func (m *migrator) rollUp(ctx context.Context, w io.Writer, perSecond int) error {
	pace := rate.NewLimiter(rate.Limit(perSecond), rollupPage)
	for _, t := range fleet.Types() {
		walked, changed, after := 0, 0, ""
		for more := true; more; more = after != "" {
			err := m.reach(ctx, func(ctx context.Context) error {
				seen, did, next, err := m.store.RollUp(ctx, t, after, rollupPage)
				if err != nil {
					return err
				}
				walked, changed, after = walked+seen, changed+did, next
				return pace.WaitN(ctx, seen)
			})
			if err != nil {
				return fmt.Errorf("after %d %s: %w", walked, t.Type, err)
			}
		}
		if _, err := fmt.Fprintf(w, "%s: %d rolled up, %d changed\n", t.Type, walked, changed); err != nil {
			return err
		}
	}
	return nil
}
