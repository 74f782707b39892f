// Command hyperfleet-api serves the HyperFleet API.
package main

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // of the few MiB that live: collecting for every few requests costs more than they do
	}
	os.Exit(service.Main(command(), os.Args[1:]))
}

func command() *cobra.Command {
	cfg := api.DefaultConfig()
	program := service.Program{
		Name: "hyperfleet-api", Short: "Serve the HyperFleet API",
		Declare:  cfg.Declare,
		Validate: func() error { return cfg.Validate() },
		Run:      func(ctx context.Context) error { return serve(ctx, cfg) },
	}
	cmd, settings := program.Command()
	program.Validate = func() error { return cfg.ValidateDatabase() } // a migration admits nobody
	loaded := func(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
		return program.Loaded(settings, run)
	}
	cmd.AddCommand(api.MigrateCommand(&cfg, loaded), api.RollupCommand(&cfg, loaded))
	return cmd
}

func serve(ctx context.Context, cfg api.Config) error {
	registry, health := prometheus.NewRegistry(), service.NewHealth()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log, err := service.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
	admin, listenErr := new(net.ListenConfig).Listen(ctx, "tcp", cfg.AdminListen)
	if err := errors.Join(err, listenErr); err != nil {
		return err
	}
	a, err := api.New(cfg, api.Deps{Log: log, Registry: registry, Health: health})
	if err != nil {
		return errors.Join(err, admin.Close())
	}
	return service.Run(ctx, service.Part{Name: "api", Run: a.Run}, service.Part{Name: "admin", Run: func(ctx context.Context) error {
		return service.Serve(ctx, admin, service.AdminHandler(health, registry), log)
	}})
}
