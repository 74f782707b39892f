// Command hyperfleet-adapter runs one adapter, and looks after its dead letters.
package main

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/adapter"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/pubsub"
	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func main() { os.Exit(service.Main(command(), os.Args[1:])) }

func command() *cobra.Command {
	p, brokers := adapter.DefaultProcess(), map[string]broker.Open{broker.TypePubSub: pubsub.Open, broker.TypeRabbitMQ: rabbitmq.Open}
	program := service.Program{
		Name: "hyperfleet-adapter", Short: "Run one adapter",
		Declare:  p.Declare,
		Validate: func() error { return p.Validate() },
		Run:      func(ctx context.Context) error { return run(ctx, p, brokers) },
	}
	cmd, settings := program.Command()
	cmd.AddCommand(adapter.DLQCommand(&p, brokers, program, settings), adapter.CleanupCommand(&p, program, settings), adapter.RenderCommand(&p, program, settings))
	return cmd
}

func run(ctx context.Context, p adapter.Process, brokers map[string]broker.Open) error {
	registry, health := prometheus.NewRegistry(), service.NewHealth()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log, err := service.NewLogger(os.Stderr, p.LogLevel, p.LogFormat)
	if err != nil {
		return err
	}
	admin, err := new(net.ListenConfig).Listen(ctx, "tcp", p.AdminListen)
	if err != nil {
		return err
	}
	drivers := broker.NewDrivers(brokers, p.Brokers, broker.Deps{Log: log, Registry: registry})
	work, err := p.Work(adapter.Deps{Log: log, Registry: registry, Health: health,
		Subscriber: adapter.SubscriberFrom(drivers), DeadLetters: adapter.DeadLettersFrom(drivers)})
	if err != nil {
		return errors.Join(err, admin.Close())
	}
	return service.Run(ctx, service.Part{Name: "adapter", Run: work}, service.Part{Name: "admin", Run: func(ctx context.Context) error {
		return service.Serve(ctx, admin, service.AdminHandler(health, registry), log)
	}})
}
