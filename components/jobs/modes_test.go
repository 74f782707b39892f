package jobs

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shared are artefacts that outlive a cluster: others use them too.
var shared = []string{"dns/ca.crt", "dns/ca.key", "dns/clusters.example.com.zone", "placement/assignments.json"}

func TestDeleteRemovesWhatCreateMade(t *testing.T) {
	dir := t.TempDir()
	other := chain(t, numbered(t, 1), DefaultConfig(dir), nil)
	before := tree(t, dir)
	c := example(t)
	results := chain(t, c, DefaultConfig(dir), nil)
	data := map[string]json.RawMessage{}
	for kind, r := range results {
		data[kind] = r.Data
	}
	for range 2 { // a second run finds nothing and is content
		for _, kind := range slices.Backward(Kinds()) {
			in := input(c, DefaultConfig(dir), data)
			in.Mode = ModeDelete
			if r, err := Run(t.Context(), kind, in); err != nil || r.Message == "" {
				t.Errorf("%s: %+v, %v", kind, r, err)
			}
		}
	}
	after := tree(t, dir)
	for path := range after {
		if before[path] == "" {
			t.Errorf("%s is left", path)
		}
	}
	for path, text := range after {
		if strings.Contains(text, c.ID) || strings.Contains(text, c.Name+".") {
			t.Errorf("%s still speaks of the cluster:\n%s", path, text)
		}
		if !slices.Contains(shared, path) && text != before[path] {
			t.Errorf("another cluster's %s changed", path)
		}
	}
	again := chain(t, numbered(t, 1), DefaultConfig(dir), nil)
	if diff := cmp.Diff(other, again); diff != "" {
		t.Errorf("another cluster's results changed:\n%s", diff)
	}
}

func TestCheckPutsBackWhatDrifted(t *testing.T) {
	dir := t.TempDir()
	c := example(t)
	results, data := chain(t, c, DefaultConfig(dir), nil), map[string]json.RawMessage{}
	for kind, r := range results {
		data[kind] = r.Data
	}
	manifest := dir + "/hypershift/" + c.ID + ".yaml"
	want, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte("drifted"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := input(c, DefaultConfig(dir), data)
	in.Mode = ModeCheck
	if r, err := Run(t.Context(), "hypershift", in); err != nil || !bytes.Equal(r.Data, data["hypershift"]) {
		t.Errorf("%+v, %v", r, err)
	}
	if got, err := os.ReadFile(manifest); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	dir := t.TempDir()
	data := map[string]json.RawMessage{}
	for kind, r := range chain(t, example(t), DefaultConfig(dir), nil) {
		data[kind] = r.Data
	}
	before := tree(t, dir)
	changed := example(t)
	changed.Name = "renamed"
	for _, kind := range Kinds() {
		for _, mode := range []string{ModeCreate, ModeCheck, ModeDelete} {
			var plan bytes.Buffer
			in := input(changed, DefaultConfig(dir), data)
			in.Mode, in.Plan = mode, &plan
			if _, err := Run(t.Context(), kind, in); err != nil {
				t.Errorf("%s %s: %v", kind, mode, err)
			}
			if mode == ModeDelete && !strings.Contains(plan.String(), "would ") {
				t.Errorf("%s %s plans nothing: %s", kind, mode, &plan)
			}
			if strings.Contains(plan.String(), "PRIVATE KEY") {
				t.Errorf("%s %s shows a key", kind, mode)
			}
		}
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("a dry run changed:\n%s", diff)
	}
}

func TestTheProcessSaysHowItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		change func(map[string]string)
		code   int
		stdout string
		said   string // in the termination log; "" = none is written
	}{
		"done":                     {nil, func(map[string]string) {}, 0, "", "policies hold"},
		"a dry run":                {[]string{"--dry-run"}, func(map[string]string) {}, 0, "would end: 29 policies hold", ""},
		"an option that is not":    {[]string{"--dry"}, func(map[string]string) {}, 1, "", "unknown flag: --dry"},
		"a word too many":          {[]string{"now"}, func(map[string]string) {}, 1, "", "unknown command"},
		"help":                     {[]string{"--help"}, func(map[string]string) {}, 0, "--dry-run", ""},
		"a failure in a dry run":   {[]string{"--dry-run"}, func(env map[string]string) { env["POLICY_BUNDLE"] = "absent" }, 1, "", ""},
		"a log level that is not":  {nil, func(env map[string]string) { env["LOG_LEVEL"] = "loud" }, 1, "", "loud"},
		"a file that is not there": {nil, func(env map[string]string) { env["POLICY_BUNDLE"] = "absent" }, 1, "", "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			env := prepared(t, "validation", example(t), t.TempDir())
			c.change(env)
			var stdout bytes.Buffer
			code := Main(t.Context(), "validation", Process{c.args, func(k string) string { return env[k] }, &stdout, io.Discard})
			said, _ := os.ReadFile(env["TERMINATION_LOG"])
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(string(said), c.said) || (c.said == "") != (len(said) == 0) {
				t.Errorf("exit code %d, stdout %s, termination log %s", code, &stdout, said)
			}
		})
	}
}
