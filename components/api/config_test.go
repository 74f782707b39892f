package api_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func TestConfigNamesEveryProblem(t *testing.T) {
	err := api.Config{
		Listen: "8080", AdminListen: "", DatabaseWait: -1, MaxConnections: 1, ShardKey: "a b", RequestTimeout: 1,
		Required: map[fleet.ResourceType][]string{"pods": nil, fleet.Clusters: {"DNS", "a", "a"}}, LogLevel: "loud", LogFormat: "xml",
	}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"database-url: is required", "listen: \"8080\"", "admin-listen: \"\"", "database-wait:", "max-connections: 1 ", "shard-key:", "request-timeout:",
		`"pods" is not a resource type`, `"DNS" is not an adapter's name`, `"a" stands twice`, `log level "loud"`, `log format "xml"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not named: %s\n%v", want, err)
		}
	}
}

func TestDatabaseURLsAreJudgedWithoutBeingShown(t *testing.T) {
	for url, ok := range map[string]bool{
		"postgres://u:hunter2@h:5432/db?sslmode=disable": true,
		"postgresql://h/db":             true,
		"postgres://u:hunter2@h":        false,
		"postgres://u:hunt#er2@h/db":    false,
		"mysql://u:hunter2@h/db":        false,
		"host=h password=hunter2":       false,
		"postgres://u:hunter2%@h/db":    false,
		"postgres://u:hunter2@h:port/d": false,
	} {
		cfg := open()
		cfg.DatabaseURL = service.Secret(url)
		err := cfg.Validate()
		if (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "hun") {
			t.Errorf("shows the password: %v", err)
		}
	}
}

func TestSettingsReachTheConfig(t *testing.T) {
	cfg := api.DefaultConfig()
	s := &service.Settings{Flags: pflag.NewFlagSet("t", pflag.ContinueOnError), Sections: map[string]any{}}
	cfg.Declare(s)
	if err := s.Load([]string{"DATABASE_URL=postgres://h/db", "LOG_LEVEL=debug", "HYPERFLEET_MAX_CONNECTIONS=4"}); err != nil {
		t.Fatal(err)
	}
	if cfg.DatabaseURL.Reveal() != "postgres://h/db" || cfg.LogLevel != "debug" || cfg.MaxConnections != 4 {
		t.Errorf("%+v", cfg)
	}
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "auth.issuers: trust one at least") {
		t.Errorf("nobody said that authentication is off, and nobody is trusted: %v", err)
	}
}
