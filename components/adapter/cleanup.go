package adapter

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/kube"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// cleanupTimeout bounds all of a cleanup.
const cleanupTimeout = 5 * time.Minute

// CleanupCommand returns `cleanup` of a program whose settings fill p.
func CleanupCommand(p *Process, program service.Program, s *service.Settings) *cobra.Command {
	var of string
	c := &cobra.Command{
		Use: "cleanup", Short: "Let the Jobs of adapters that are no more be deleted, reported or not", Args: cobra.NoArgs,
		Long: "Takes the finalizer off the Jobs of every adapter in --namespace, or of one. Run it when the adapters are stopped for good:\nan end that was not reported is lost.",
	}
	c.Flags().StringVar(&of, "adapter", "", "only the Jobs of the adapter of this type, such as dns")
	program.Validate = nil // the AdapterConfig may be gone
	c.RunE = program.Loaded(s, func(c *cobra.Command, _ []string) error {
		cluster, err := p.kubernetes()
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(cluster)
		if err != nil {
			return fmt.Errorf("set up the client of Kubernetes: %w", err)
		}
		ctx, cancel := context.WithTimeout(c.Context(), cleanupTimeout)
		defer cancel()
		n, err := kube.Cleanup(ctx, client, p.Namespace, of)
		fmt.Fprintf(c.OutOrStdout(), "%d jobs released in namespace %s\n", n, p.Namespace)
		return err
	})
	return c
}
