package jobs

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/validation"
)

// testBundle is the command that runs the tests of a policy bundle.
func testBundle() *cobra.Command {
	return &cobra.Command{
		Use:   "test BUNDLE",
		Short: "Run the tests of a policy bundle: a directory, or URL#sha256=… of an archive",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := validation.Open(cmd.Context(), newClient(), args[0])
			if err != nil {
				return err
			}
			report, err := validation.Test(cmd.Context(), b, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			for _, id := range report.Unused {
				fmt.Fprintf(cmd.OutOrStdout(), "untested: %s: no test breaks it\n", id)
			}
			if report.Failed > 0 {
				return fmt.Errorf("%d of %d tests of %s failed", report.Failed, report.Tests, b.Name)
			}
			if report.Tests == 0 {
				return fmt.Errorf("%s has no tests: put them into files that end in .test.yaml", b.Name)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ok: %d tests\n", report.Tests)
			return nil
		},
	}
}
