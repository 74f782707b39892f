package service

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// sample is a configuration with a setting of each kind.
type sample struct {
	Listen   string
	Database Secret
	Level    string
	Conns    int
	Poll     time.Duration
	Shards   []string
	Quotas   map[string]int
	Dry      bool
	Required struct {
		Clusters  []string `json:"clusters"`
		NodePools []string `json:"nodepools"`
		Limits    struct {
			Most  int            `json:"most"`
			Until *time.Time     `json:"until"`
			Named map[string]int `json:"named"`
		} `json:"limits"`
		Rules []struct {
			Name string
		} `json:"rules"`
	}
}

func declare(c *sample) *Settings {
	s := &Settings{Flags: pflag.NewFlagSet("t", pflag.ContinueOnError), FileFlag: "config-file", Sections: map[string]any{"required": &c.Required}}
	s.Flags.String("config-file", "", "")
	s.Flags.StringVar(&c.Listen, "listen", ":8080", "")
	s.Flags.Var(&c.Database, "database-url", "")
	s.Flags.StringVar(&c.Level, "log-level", "info", "")
	s.Flags.IntVar(&c.Conns, "max-conns", 10, "")
	s.Flags.DurationVar(&c.Poll, "poll", time.Second, "")
	s.Flags.StringSliceVar(&c.Shards, "shards", []string{"all"}, "")
	s.Flags.StringToIntVar(&c.Quotas, "quotas", nil, "")
	s.Flags.BoolVar(&c.Dry, "dry", false, "")
	c.Required.NodePools = []string{"validation"}
	return s
}

// load loads settings from a file's text, an environment and flags.
func load(t *testing.T, file string, environ []string, args ...string) (sample, *Settings, error) {
	t.Helper()
	var c sample
	s := declare(&c)
	if file != "" {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config-file", path)
	}
	if err := s.Flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	err := s.Load(environ)
	return c, s, err
}

func TestEachSourceGivesWayToTheNext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    string
	}{
		{"the default stands alone", "", nil, nil, ":8080"},
		{"the file beats the default", "listen: file", nil, nil, "file"},
		{"the environment beats the file", "listen: file", []string{"HYPERFLEET_LISTEN=env"}, nil, "env"},
		{"a flag beats all", "listen: file", []string{"HYPERFLEET_LISTEN=env"}, []string{"--listen=flag"}, "flag"},
		{"a flag beats the file", "listen: file", nil, []string{"--listen=flag"}, "flag"},
		{"mappings are replaced, not merged", "quotas: {a: 1}\nlisten: file", []string{"HYPERFLEET_QUOTAS=b=2"}, nil, "file"},
		{"a flag set to the default still beats", "listen: file", nil, []string{"--listen=:8080"}, ":8080"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _, err := load(t, tt.file, tt.environ, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if c.Listen != tt.want {
				t.Errorf("listen = %q, want %q", c.Listen, tt.want)
			}
			if len(c.Quotas) > 1 {
				t.Errorf("quotas of two sources were merged: %v", c.Quotas)
			}
		})
	}
}

func TestEveryKindOfSettingComesFromEverywhere(t *testing.T) {
	t.Parallel()
	var want sample
	want.Listen, want.Database, want.Level, want.Conns = ":1", "postgres://u:p@h/d", "debug", 3
	want.Poll, want.Shards, want.Quotas, want.Dry = 5*time.Second, []string{"a", "b"}, map[string]int{"a": 1, "b": 2}, true
	want.Required.NodePools = []string{"validation"}

	fromEnv, _, err := load(t, "", []string{"HYPERFLEET_LISTEN=:1", "DATABASE_URL=postgres://u:p@h/d", "LOG_LEVEL=debug", "HYPERFLEET_MAX_CONNS=3",
		"HYPERFLEET_POLL=5s", "HYPERFLEET_SHARDS=a,b", "HYPERFLEET_QUOTAS=a=1,b=2", "HYPERFLEET_DRY=true"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fromEnv); diff != "" {
		t.Errorf("from the environment (-want +got):\n%s", diff)
	}
	want.Required.Clusters = []string{"dns"}
	fromFile, _, err := load(t, `
listen: ":1"
database-url: postgres://u:p@h/d
log-level: debug
max-conns: 3
poll: 5s
shards: [a, b]
quotas: {a: 1, b: 2}
dry: true
required:
  clusters: [dns]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fromFile); diff != "" {
		t.Errorf("from the file (-want +got):\n%s", diff)
	}
}

func TestHyperFleetsOwnVariableGoesBeforeTheAlias(t *testing.T) {
	t.Parallel()
	c, _, err := load(t, "", []string{"DATABASE_URL=alias", "HYPERFLEET_DATABASE_URL=own"})
	if err != nil || c.Database != "own" {
		t.Errorf("database = %q, %v", c.Database.Reveal(), err)
	}
}

func TestTheEnvironmentMayNameTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("listen: file"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := load(t, "", []string{"HYPERFLEET_CONFIG_FILE=" + path})
	if err != nil || c.Listen != "file" {
		t.Errorf("listen = %q, %v", c.Listen, err)
	}
}

func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, `
lisen: ":1"
max-conns: many
poll: {}
shards: [[nested]]
config-file: other.yaml
required:
  clusters: [dns, 1, {a: b}]
  machines: []
  limits: {most: many, mots: 1, until: tomorrow, named: {a: 1, b: two}}
  rules: [{Name: a}, {name: b}, c]
  nodepools: validation
`, []string{"HYPERFLEET_DRY=perhaps", "HYPERFLEET_DATABSE_URL=postgres://u:hunter2@h/d"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"lisen: is no setting", "max-conns: must be of type int", "poll: must be of type duration", "shards: element 0",
		"config-file: is no setting", "required.clusters[1]: must be of type string", "required.clusters[2]: must be of type string",
		"required.machines: is no setting (there are clusters, limits, nodepools, rules)", "required.limits.most: must be of type int",
		"required.limits.mots: is no setting", "required.limits.until: ", "required.limits.named.b: must be of type int",
		"required.rules[1].name: is no setting (there are Name)", "required.rules[2]: must be a mapping", "required.nodepools: must be a list", "HYPERFLEET_DRY: must be of type bool", "HYPERFLEET_DATABSE_URL: is no setting"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

func TestAFileThatIsNoneIsAProblem(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"a key twice": "dry: true\ndry: false\n", "a list": "- listen\n", "no YAML": "{", "a null": "listen:\n",
	} {
		if _, _, err := load(t, file, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := load(t, "", nil, "--config-file=/nonexistent.yaml"); err == nil {
		t.Error("no file: no error")
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, "", []string{
		"HYPERFLEET_URL=http://127.0.0.1:8080", "HYPERFLEET_TOKEN=t", "HYPERFLEET_API_SERVICE_HOST=10.0.0.1", "HYPERFLEET_API_SERVICE_PORT_HTTP=80",
		"HYPERFLEET_API_PORT=tcp://10.0.0.1:80", "HYPERFLEET_API_PORT_80_TCP_ADDR=10.0.0.1", "OTHER=1"})
	if err != nil {
		t.Error(err)
	}
}

func TestTheViewIsAFileThatGivesTheSameSettings(t *testing.T) {
	t.Parallel()
	c, s, err := load(t, "", []string{"DATABASE_URL=postgres://u:hunter2@h/d", "HYPERFLEET_QUOTAS=a=1,b=2"}, "--shards=a,b", "--poll=5s", "--dry")
	if err != nil {
		t.Fatal(err)
	}
	var view bytes.Buffer
	if err := s.View(&view); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(view.String(), "hunter2") || !strings.Contains(view.String(), "database-url: '***'") {
		t.Errorf("the secret: %s", view.String())
	}
	again, _, err := load(t, view.String(), []string{"DATABASE_URL=postgres://u:hunter2@h/d"})
	if err != nil {
		t.Fatalf("%v\n%s", err, view.String())
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("the view loses something (-want +got):\n%s\n%s", diff, view.String())
	}
}
