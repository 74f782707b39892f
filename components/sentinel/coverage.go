package sentinel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// found is the failure of a coverage that has what it must not have.
type found string

func (f found) Error() string { return string(f) }

// ExitCode tells it from "the coverage is not known".
func (found) ExitCode() int { return 2 }

// coverage is the command line of the coverage.
type coverage struct {
	process                  *Process
	transport                http.RoundTripper // nil = one of its own
	failOnGap, failOnOverlap bool
	asJSON                   bool
	timeout                  time.Duration
}

// CoverageCommand returns `coverage` of a program whose settings fill p: how
// the live shards, or those of a file, divide the fleet.
func CoverageCommand(p *Process, program service.Program, s *service.Settings) *cobra.Command {
	return (&coverage{process: p}).command(program, s)
}

func (v *coverage) command(program service.Program, s *service.Settings) *cobra.Command {
	c := &cobra.Command{Use: "coverage", Short: "Tell what no shard, or several, would publish", Args: cobra.NoArgs,
		Long: "Tell what no shard, or several, would publish: of the live shards that the API knows,\n" +
			"or, with --config-file, of the SentinelConfigs in that file, before they are applied.\n\n" +
			"Exit code 0: as wanted. 1: not known (settings, an invalid SentinelConfig, the API).\n" +
			"2: there is what --fail-on-gap or --fail-on-overlap forbids."}
	c.Flags().BoolVar(&v.failOnGap, "fail-on-gap", false, "exit with 2 if a resource is matched by no shard")
	c.Flags().BoolVar(&v.failOnOverlap, "fail-on-overlap", false, "exit with 2 if a resource is matched by several shards")
	c.Flags().BoolVar(&v.asJSON, "json", false, "one JSON document per resource type, as the API gives it")
	c.Flags().DurationVar(&v.timeout, "timeout", 5*time.Minute, "time that all of it may take")
	program.Validate = v.validate
	c.RunE = program.Loaded(s, func(c *cobra.Command, _ []string) error { return v.run(c.Context(), c.OutOrStdout()) })
	return c
}

// configs are those of the file, which may leave their broker to whatever will
// run them.
func (v *coverage) configs() ([]v1alpha1.SentinelConfig, error) {
	c := v.process.Config
	if c.Broker == nil {
		c.Broker = &v1alpha1.PublisherBroker{Type: broker.TypeStub}
	}
	return c.sentinels()
}

func (v *coverage) validate() error {
	var err error
	if v.process.ConfigFile != "" {
		_, err = v.configs()
	}
	_, apiErr := v.client()
	return errors.Join(err, apiErr)
}

func (v *coverage) client() (*client.Client, error) {
	rt := v.transport
	if file := v.process.TokenFile; file != "" {
		rt = client.Bearer(rt, client.TokenFile(file))
	}
	return client.New(v.process.APIURL, rt, v.process.APITimeout)
}

func (v *coverage) run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	api, err := v.client()
	if err != nil {
		return err
	}
	var proposed []v1alpha1.SentinelConfig
	if v.process.ConfigFile != "" {
		if proposed, err = v.configs(); err != nil {
			return err
		}
	}
	var wrong []error
	for _, info := range fleet.Types() {
		var c fleet.Coverage
		if v.process.ConfigFile == "" {
			c, err = api.Coverage(ctx, info.Type)
		} else {
			c, err = divide(ctx, api, info.Type, proposed)
		}
		if err != nil {
			return fmt.Errorf("coverage of %s: %w", info.Type, err)
		}
		if err := v.print(out, c); err != nil {
			return err
		}
		wrong = append(wrong, v.judge(c))
	}
	return errors.Join(wrong...)
}

// judge says what of c is forbidden.
func (v *coverage) judge(c fleet.Coverage) error {
	var wrong []string
	if n := c.Uncovered.Count; v.failOnGap && n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d are matched by no shard", n))
	}
	if n := c.Overlapping.Count; v.failOnOverlap && n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d are matched by several shards", n))
	}
	if len(wrong) == 0 {
		return nil
	}
	return found(fmt.Sprintf("of %d %s %s", c.Total, c.ResourceType, strings.Join(wrong, ", and ")))
}

func (v *coverage) print(out io.Writer, c fleet.Coverage) error {
	if v.asJSON {
		return json.NewEncoder(out).Encode(c)
	}
	fmt.Fprintf(out, "%s: %d, matched by no shard: %d, by several: %d\n", c.ResourceType, c.Total, c.Uncovered.Count, c.Overlapping.Count)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(c.Shards) > 0 {
		fmt.Fprintln(table, "  SHARD\tMATCHED\tOVERLAPPING\tSELECTOR")
	}
	for _, s := range c.Shards {
		selector := s.Selector
		if selector == "" {
			selector = "(everything)"
		}
		fmt.Fprintf(table, "  %s\t%d\t%d\t%s\n", s.Name, s.Matched, s.Overlapping, selector)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, some := range []struct {
		what  string
		found fleet.Found
	}{{"no shard", c.Uncovered}, {"several shards", c.Overlapping}} {
		for _, id := range some.found.IDs {
			fmt.Fprintf(out, "  %s: %s\n", some.what, id)
		}
		if rest := some.found.Count - int64(len(some.found.IDs)); rest > 0 {
			fmt.Fprintf(out, "  %s: %d more\n", some.what, rest)
		}
	}
	return nil
}
