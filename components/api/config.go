package api

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// Auth says whose tokens are trusted and what their holders may do.
type Auth = auth.Config

// Issuer is who signs tokens that are trusted.
type Issuer = auth.Issuer

// Binding makes a principal of a token.
type Binding = auth.Binding

// Config is what an operator sets.
type Config struct {
	Listen         string                          // address of the API, unless Deps brings a listener
	AdminListen    string                          // address of health and metrics; main serves it
	DatabaseURL    service.Secret                  // postgres://user:password@host/database
	DatabaseWait   time.Duration                   // how long to wait for the database and its schema at start
	PasswordFile   string                          // read for every new connection; "" = the URL's password
	Pooler         bool                            // a pooler in transaction mode stands before the database
	Role           string                          // to which a migration grants what serving needs; "" = nobody
	Migrate        bool                            // migrate before serving, as the URL's role
	MaxConnections int                             // to the database, of this process
	AcquireTimeout time.Duration                   // how long a request may wait for a connection
	Retention      time.Duration                   // of history and tombstones
	ShardKey       string                          // label that the schedule is indexed by
	RequestTimeout time.Duration                   // of one request
	StuckAfter     time.Duration                   // how long nothing may be heard of a resource that is not Ready before it counts as stuck
	Required       map[fleet.ResourceType][]string // adapters that must be Complete for a resource to be Ready
	Auth           Auth                            // who may do what
	LogLevel       string                          // debug, info, warn or error; main's logger
	LogFormat      string                          // json or text; main's logger
}

// minRetention is two partitions of a week: history goes by whole ones.
const minRetention = 14 * 24 * time.Hour

// DefaultConfig is everything but the database. It listens on all interfaces,
// because whoever calls the API runs in other pods.
func DefaultConfig() Config {
	return Config{
		Listen:         ":8080",
		AdminListen:    ":8081",
		DatabaseWait:   time.Minute,
		MaxConnections: 16,
		AcquireTimeout: 5 * time.Second,
		Retention:      90 * 24 * time.Hour,
		ShardKey:       "region",
		RequestTimeout: 15 * time.Second,
		StuckAfter:     30 * time.Minute,
		Required: map[fleet.ResourceType][]string{
			fleet.Clusters:  {"validation", "dns", "placement", "pullsecret", "hypershift"},
			fleet.NodePools: {"validation", "hypershift"},
		},
		Auth:      auth.DefaultConfig(),
		LogLevel:  "info",
		LogFormat: "json",
	}
}

// Declare adds c's settings, with their present values as defaults.
func (c *Config) Declare(s *service.Settings) {
	f := s.Flags
	f.StringVar(&c.Listen, "listen", c.Listen, "address of the API")
	f.StringVar(&c.AdminListen, "admin-listen", c.AdminListen, "address of /livez, /readyz and /metrics")
	f.Var(&c.DatabaseURL, "database-url", "PostgreSQL, such as postgres://user:password@host:5432/hyperfleet")
	f.DurationVar(&c.DatabaseWait, "database-wait", c.DatabaseWait, "how long to wait for the database and its schema at start")
	f.StringVar(&c.PasswordFile, "database-password-file", c.PasswordFile, "file with the database's password, read for every new connection")
	f.BoolVar(&c.Pooler, "database-pooler", c.Pooler, "a pooler in transaction mode, such as PgBouncer, stands before the database")
	f.StringVar(&c.Role, "application-role", c.Role, "role to which a migration grants what serving needs")
	f.BoolVar(&c.Migrate, "migrate", c.Migrate, "migrate before serving, as the role of database-url")
	f.IntVar(&c.MaxConnections, "max-connections", c.MaxConnections, "connections of this process to the database")
	f.DurationVar(&c.AcquireTimeout, "acquire-timeout", c.AcquireTimeout, "how long a request may wait for a connection; then 503")
	f.DurationVar(&c.Retention, "retention", c.Retention, "how long history and tombstones are kept")
	f.StringVar(&c.ShardKey, "shard-key", c.ShardKey, "label by which sentinels share the fleet")
	f.DurationVar(&c.RequestTimeout, "request-timeout", c.RequestTimeout, "time that one request may take")
	f.DurationVar(&c.StuckAfter, "stuck-after", c.StuckAfter, "silence after which a resource that is not Ready counts as stuck")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "json or text")
	s.Sections["required"] = &c.Required
	s.Sections["auth"] = &c.Auth
}

var (
	adapterName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	labelKey    = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

// Validate names every problem at once.
func (c Config) Validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	problems = append(problems, c.ValidateDatabase())
	for _, l := range [][2]string{{"listen", c.Listen}, {"admin-listen", c.AdminListen}} {
		if _, err := net.ResolveTCPAddr("tcp", l[1]); err != nil || l[1] == "" {
			problem("%s: %q is not an address such as :8080 or 127.0.0.1:8080", l[0], l[1])
		}
	}
	if c.AcquireTimeout < 10*time.Millisecond || c.AcquireTimeout > c.RequestTimeout {
		problem("acquire-timeout: %s is not between 10ms and request-timeout (%s)", c.AcquireTimeout, c.RequestTimeout)
	}
	if c.Retention < minRetention {
		problem("retention: %s is less than %s", c.Retention, minRetention)
	}
	if c.Pooler && c.Migrate {
		problem("migrate: migrations need the database itself, not a pooler; run hyperfleet-api migrate up instead")
	}
	if c.RequestTimeout < 100*time.Millisecond || c.RequestTimeout > 50*time.Second {
		problem("request-timeout: %s is not between 100ms and 50s", c.RequestTimeout)
	}
	if c.StuckAfter <= 0 {
		problem("stuck-after: %s is not longer than 0", c.StuckAfter)
	}
	problems = append(problems, c.Auth.Validate())
	return errors.Join(append(problems, c.checkRequired()...)...)
}

// ValidateDatabase is [Config.Validate] for what migrates and does not serve.
func (c Config) ValidateDatabase() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if err := checkDatabaseURL(c.DatabaseURL); err != nil {
		problems = append(problems, err)
	}
	if c.DatabaseWait < 0 {
		problem("database-wait: must not be negative")
	}
	if c.MaxConnections < 2 || c.MaxConnections > 1000 {
		problem("max-connections: %d is not between 2 and 1000", c.MaxConnections)
	}
	if !labelKey.MatchString(c.ShardKey) {
		problem("shard-key: %q is not a label key such as region", c.ShardKey)
	}
	if _, err := service.NewLogger(nil, c.LogLevel, c.LogFormat); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func (c Config) checkRequired() []error {
	var problems []error
	for _, t := range slices.Sorted(maps.Keys(c.Required)) {
		if _, ok := t.Info(); !ok {
			problems = append(problems, fmt.Errorf("required: %q is not a resource type", t))
		}
		seen := map[string]bool{}
		for _, a := range c.Required[t] {
			switch {
			case !adapterName.MatchString(a):
				problems = append(problems, fmt.Errorf("required: %s: %q is not an adapter's name such as dns", t, a))
			case seen[a]:
				problems = append(problems, fmt.Errorf("required: %s: %q stands twice", t, a))
			}
			seen[a] = true
		}
	}
	return problems
}

// checkDatabaseURL never shows what it was given: it may hold a password.
func checkDatabaseURL(s service.Secret) error {
	const example = "such as postgres://user:password@host:5432/hyperfleet" //nolint:gosec // an example
	text := s.Reveal()
	if text == "" {
		return errors.New("database-url: is required, " + example)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("database-url: is not a URL " + example + "; characters such as @, / and # in the password must be percent-encoded")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return errors.New("database-url: must begin with postgres://, " + example)
	case strings.Trim(u.Path, "/") == "":
		return errors.New("database-url: names no database, " + example)
	}
	return nil
}
