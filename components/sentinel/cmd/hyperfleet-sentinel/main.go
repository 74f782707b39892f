// Command hyperfleet-sentinel decides what is due and publishes events for it.
package main

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/sentinel"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/pubsub"
	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func main() { os.Exit(service.Main(command(), os.Args[1:])) }

func command() *cobra.Command {
	p := sentinel.DefaultProcess()
	program := service.Program{
		Name: "hyperfleet-sentinel", Short: "Decide what is due and publish events for it",
		Declare:  p.Declare,
		Validate: func() error { return p.Validate() },
		Run:      func(ctx context.Context) error { return run(ctx, p) },
	}
	cmd, settings := program.Command()
	cmd.AddCommand(sentinel.CoverageCommand(&p, program, settings))
	return cmd
}

func run(ctx context.Context, p sentinel.Process) error {
	registry, health := prometheus.NewRegistry(), service.NewHealth()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log, err := service.NewLogger(os.Stderr, p.LogLevel, p.LogFormat)
	if err != nil {
		return err
	}
	sentinel.UseLogger(log)
	kube, namespace, err := p.Kubernetes()
	admin, listenErr := new(net.ListenConfig).Listen(ctx, "tcp", p.AdminListen)
	if err := errors.Join(err, listenErr); err != nil {
		return err
	}
	p.Namespace = namespace
	drivers := broker.NewDrivers(map[string]broker.Open{broker.TypePubSub: pubsub.Open, broker.TypeRabbitMQ: rabbitmq.Open}, p.Brokers, broker.Deps{Log: log, Registry: registry})
	s, err := sentinel.New(p.Config, sentinel.Deps{Log: log, Registry: registry, Health: health, Kubernetes: kube, Publisher: sentinel.PublisherFrom(drivers)})
	if err != nil {
		return errors.Join(err, admin.Close())
	}
	return service.Run(ctx, service.Part{Name: "sentinel", Run: s.Run}, service.Part{Name: "admin", Run: func(ctx context.Context) error {
		return service.Serve(ctx, admin, service.AdminHandler(health, registry), log)
	}})
}
