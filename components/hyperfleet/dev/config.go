package dev

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Config is what a user of `hyperfleet dev` sets.
type Config struct {
	Listen      string         // the API's address; the admin server takes the next port
	DataDir     string         // kept over restarts; "" = a temporary one, removed at the end
	DatabaseURL service.Secret // "" = a private PostgreSQL in the data directory
	Demo        bool           // create three clusters to watch
	AuthMode    string         // the API's auth.mode: "jwt" or "", or "disabled"
	Out         io.Writer      // banner and timeline

	Broker  string                 // "stub" or "", "rabbitmq", "pubsub"
	Brokers broker.Settings        // of one that is not in memory
	Drivers map[string]broker.Open // of those that the program has beside the one in memory
}

// DefaultConfig returns what `hyperfleet dev` runs without arguments.
func DefaultConfig(out io.Writer) Config {
	return Config{Listen: "127.0.0.1:8080", AuthMode: authOn, Broker: broker.TypeStub, Out: out}
}

// Validate names every problem of c.
func (c Config) Validate() error {
	var problems []error
	if _, err := nextPort(c.Listen); err != nil {
		problems = append(problems, err)
	}
	if url := c.DatabaseURL.Reveal(); url != "" &&
		!strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		problems = append(problems, errors.New("--database-url: want postgres://user:password@host:port/database"))
	}
	return errors.Join(append(problems, c.validateAuth(), c.validateBroker())...)
}

// What [Config.AuthMode] may be.
const (
	authOn  = "jwt"
	authOff = "disabled"
)

func (c Config) validateAuth() error {
	switch host, _, _ := net.SplitHostPort(c.Listen); {
	case c.AuthMode == "", c.AuthMode == authOn:
		return nil
	case c.AuthMode != authOff:
		return fmt.Errorf("--auth-mode %q: want %s or %s", c.AuthMode, authOn, authOff)
	case host == "localhost" || net.ParseIP(host).IsLoopback():
		return nil
	}
	return fmt.Errorf("--auth-mode %s: only with a --listen address that no other machine reaches, such as 127.0.0.1:8080", authOff)
}

// nextPort returns addr with the port after it; the port 0, "any", stays.
func nextPort(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("--listen %q: want host:port, for example 127.0.0.1:8080", addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 65535 {
		return "", fmt.Errorf("--listen %q: want a port from 0 to 65534 (the admin server takes the next one)", addr)
	}
	if n != 0 {
		n++
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}
