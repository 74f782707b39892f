// Command hyperfleet runs HyperFleet on one machine: `hyperfleet dev`.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/hyperfleet/dev"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/pubsub"
	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func main() {
	root := &cobra.Command{
		Use: "hyperfleet", Short: "A control plane for fleets of Kubernetes clusters",
		Version: service.Version(), SilenceUsage: true, SilenceErrors: true,
	}
	cfg := dev.DefaultConfig(os.Stdout)
	cfg.Drivers = map[string]broker.Open{broker.TypePubSub: pubsub.Open, broker.TypeRabbitMQ: rabbitmq.Open}
	command, _ := dev.Program(&cfg).Command()
	root.AddCommand(command)
	os.Exit(service.Main(root, os.Args[1:]))
}
