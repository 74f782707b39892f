package dev

import (
	"context"

	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Program returns `hyperfleet dev` as a command-line program that writes to c.Out.
func Program(c *Config) service.Program {
	return service.Program{
		Name:  "dev",
		Short: "Run the whole of HyperFleet in one process, with a private PostgreSQL",
		Declare: func(s *service.Settings) {
			s.Flags.StringVar(&c.Listen, "listen", c.Listen, "address of the API; the admin server takes the next port")
			s.Flags.StringVar(&c.DataDir, "data-dir", c.DataDir, "directory that keeps the data (default: a temporary one)")
			s.Flags.Var(&c.DatabaseURL, "database-url", "PostgreSQL to use (default: a private one in the data directory)")
			s.Flags.BoolVar(&c.Demo, "demo", c.Demo, "create three clusters to watch")
			s.Flags.StringVar(&c.AuthMode, "auth-mode", c.AuthMode, "jwt: requests need a token of dev.env; disabled: whoever reaches the API is its admin")
			s.Flags.StringVar(&c.Broker, "broker", c.Broker, "broker to use: stub (in memory), rabbitmq (at --broker-url) or pubsub (at PUBSUB_EMULATOR_HOST)")
			c.Brokers.Declare(s.Flags)
		},
		Validate: func() error { return c.Validate() },
		Run:      func(ctx context.Context) error { return Run(ctx, *c) },
	}
}
