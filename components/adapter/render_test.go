package adapter_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/adapter"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

var update = flag.Bool("update", false, "write the golden files")

// example has the files of docs/adapter-authoring.md.
const example = "../../docs/examples/adapter-inventory"

// render runs the command line and returns what it printed.
func render(args ...string) (string, error) {
	p := adapter.DefaultProcess()
	program := service.Program{Name: "hyperfleet-adapter", Declare: p.Declare, Validate: func() error { return p.Validate() }}
	cmd, settings := program.Command()
	cmd.AddCommand(adapter.RenderCommand(&p, program, settings))
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"render"}, args...))
	err := cmd.Execute()
	return out.String(), err
}

// files are the arguments for the example, with the given cluster and reports.
func files(cluster, statuses string) []string {
	return []string{"--config-file", filepath.Join(example, "adapterconfig.yaml"), "--cluster", cluster, "--statuses", statuses}
}

// edited writes a copy of an example's document in which the fields at top level
// are set, and returns its path.
func edited(t *testing.T, name string, fields map[string]any) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(example, name))
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	for field, value := range fields {
		document[field] = value
	}
	if raw, err = json.Marshal(document); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheExampleOfAnAdapterRendersAsItsPageShows(t *testing.T) {
	got, err := render(files(filepath.Join(example, "cluster.json"), filepath.Join(example, "statuses.json"))...)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join(example, "rendered.yaml")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-%s +rendered):\n%s", golden, diff)
	}
	verdicts, _, _ := strings.Cut(got, "---\n")
	page, err := os.ReadFile("../../docs/adapter-authoring.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), verdicts) {
		t.Errorf("the page does not show these verdicts:\n%s", verdicts)
	}
}

func TestRenderSaysHowAnAdapterStands(t *testing.T) {
	cluster, statuses := filepath.Join(example, "cluster.json"), filepath.Join(example, "statuses.json")
	none := func(t *testing.T) string { return edited(t, "statuses.json", map[string]any{"items": []any{}}) }
	for _, c := range []struct {
		name string
		args func(t *testing.T) []string
		want []string // in this order
		not  string
	}{
		{"a dependency without a report", func(t *testing.T) []string { return files(cluster, none(t)) },
			[]string{"# not met, dependency: hypershift: no report yet\n", "# not met, precondition: has(statuses.placement.data.managementCluster): cannot be evaluated: no such key: placement\n",
				"# it would not start now", "kind: Job"}, ""},
		{"a dependency for an older generation", func(t *testing.T) []string {
			return files(edited(t, "cluster.json", map[string]any{"generation": 3}), statuses)
		}, []string{"# not met, dependency: hypershift: Complete for generation 2, want Complete for 3\n"}, ""},
		{"a label that keeps it out", func(t *testing.T) []string {
			return files(edited(t, "cluster.json", map[string]any{"labels": map[string]string{"environment": "sandbox"}}), statuses)
		}, []string{"# met, dependency: hypershift", "# not met, precondition: !has(cluster.labels)", ": false\n"}, ""},
		{"a cluster that is being deleted", func(t *testing.T) []string {
			return files(edited(t, "cluster.json", map[string]any{"deletion_requested_at": "2026-01-02T03:04:05Z"}), statuses)
		}, []string{"# it is being deleted", "-g2-d\n", "name: MODE\n          value: delete"}, "precondition:"},
		{"an event when all holds", func(*testing.T) []string { return append(files(cluster, statuses), "--event") },
			[]string{"# event about clusters", "# 1. read cluster: generation 2, Provisioning\n", "report Running, attempt 1: job inventory-adapter-", "create job inventory-adapter-",
				"acknowledge the event\n", "kind: Job", "kind: Secret"}, ""},
		{"an event while a dependency is missing", func(t *testing.T) []string { return append(files(cluster, none(t)), "--event") },
			[]string{"read which adapters there are", "report Pending, attempt 1: waiting for hypershift\n", "acknowledge the event\n"}, "kind: Job"},
		{"an event about what is done", func(t *testing.T) []string {
			return append(files(cluster, edited(t, "statuses.json", map[string]any{"items": []any{
				map[string]any{"adapter_name": "inventory", "phase": "Failed", "observed_generation": 2, "attempt": 6}}})), "--event")
		}, []string{"# 1. read cluster", "# 2. acknowledge the event\n"}, "kind: Job"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(c.args(t)...)
			if err != nil {
				t.Fatal(err)
			}
			rest := got
			for _, want := range c.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("no %q in the rest of:\n%s", want, got)
				}
				rest = after
			}
			if c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("%q is in:\n%s", c.not, got)
			}
		})
	}
}

func TestRenderSaysWhatItNeeds(t *testing.T) {
	cluster := filepath.Join(example, "cluster.json")
	pool := filepath.Join(t.TempDir(), "pool.json")
	if err := os.WriteFile(pool, []byte(`{"id":"0190b6a0-1234-7000-8000-0000000000bb","generation":1,"owner":{"id":"0190b6a0-1234-7000-8000-0000000000aa"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	config := []string{"--config-file", filepath.Join(example, "adapterconfig.yaml")}
	for want, args := range map[string][]string{
		"render: give the AdapterConfig with --config-file":                            {"--config=x", "--cluster", cluster},
		"render: give the cluster with --cluster":                                      config,
		"has no id or no generation: give the resource as the API answers it":          append(config, "--cluster", "../../docs/examples/cluster.json"),
		"adapter inventory does not handle nodepools, only clusters":                   append(config, "--cluster", cluster, "--nodepool", pool),
		"belongs to cluster \"0190b6a0-1234-7000-8000-0000000000aa\", not to 0190b6a0": append(config, "--cluster", pool, "--nodepool", pool),
	} {
		if _, err := render(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
