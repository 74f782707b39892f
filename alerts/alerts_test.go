package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// specified are the checksums of the files that are not ours to change.
var specified = map[string]string{
	"hyperfleet-v2.rules.yaml": "3b4c4b4f4c540d0724da97c73bc443b435166057148fb4b8f961dec94637a27e",
}

type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type testFile struct {
	RuleFiles          []string         `json:"rule_files"`
	EvaluationInterval string           `json:"evaluation_interval"`
	Tests              []map[string]any `json:"tests"`
}

// promtool is Prometheus's own tool; where there is none the test says so.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		const hint = "promtool is not installed: apt-get install prometheus"
		if os.Getenv("REQUIRE") == "all" {
			t.Fatal(hint)
		}
		t.Skip("SKIPPED: " + hint)
	}
	return path
}

func load[T any](t *testing.T, path string) T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file T
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return file
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}

// alerts returns the alerts of a file by name.
func alerts(t *testing.T, path string) map[string]rule {
	t.Helper()
	all := map[string]rule{}
	for _, g := range load[ruleFile](t, path).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all[r.Alert] = r
			}
		}
	}
	return all
}

func TestPrometheusAcceptsTheRules(t *testing.T) {
	tool := promtool(t)
	for _, args := range [][]string{
		append([]string{"check", "rules"}, glob(t, "*.rules.yaml")...),
		append([]string{"test", "rules"}, glob(t, "tests/*.test.yaml")...),
	} {
		if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args[:2], err, out)
		}
	}
}

func TestTheSpecifiedRulesAreUnchanged(t *testing.T) {
	for name, want := range specified {
		text, err := os.ReadFile(name)
		sum := sha256.Sum256(text)
		if got := hex.EncodeToString(sum[:]); err != nil || got != want {
			t.Errorf("%s has checksum %s, %v: it is specified byte for byte; rules of our own go into other files", name, got, err)
		}
	}
}

// TestEveryAlertIsWhole holds our own alerts to what whoever is woken needs, and
// all of them to a case in which they fire and one in which they do not.
func TestEveryAlertIsWhole(t *testing.T) {
	cases := map[string]bool{}
	for _, file := range glob(t, "tests/*.test.yaml") {
		for _, c := range load[testFile](t, file).Tests {
			name, _ := c["name"].(string)
			alert, what, _ := strings.Cut(name, " ")
			for _, word := range []string{"fires", "is silent"} {
				cases[alert+" "+word] = cases[alert+" "+word] || strings.HasPrefix(what, word)
			}
		}
	}
	seen := map[string]string{}
	for _, file := range glob(t, "*.rules.yaml") {
		for name, r := range alerts(t, file) {
			for _, word := range []string{"fires", "is silent"} {
				if !cases[name+" "+word] {
					t.Errorf("%s: there is no case %q in tests/", file, name+" "+word)
				}
			}
			if seen[name] != "" {
				t.Errorf("%s stands in %s and in %s", name, seen[name], file)
			}
			seen[name] = file
			if specified[file] != "" {
				continue
			}
			for _, key := range []string{"summary", "description", "runbook_url"} {
				if r.Annotations[key] == "" {
					t.Errorf("%s: %s has no %s", file, name, key)
				}
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: %s has severity %q", file, name, s)
			}
			if r.For == "" {
				t.Errorf("%s: %s does not wait", file, name)
			}
		}
	}
	for name, file := range seen {
		page := name + ".md"
		if specified[file] == "" && !strings.HasSuffix(alerts(t, file)[name].Annotations["runbook_url"], "/docs/runbooks/"+page) {
			t.Errorf("%s: the runbook of %s is not docs/runbooks/%s", file, name, page)
		}
		if _, err := os.Stat(filepath.Join("..", "docs", "runbooks", page)); err != nil {
			t.Errorf("%s has no runbook: %v", name, err)
		}
	}
}

// threshold finds the numbers that an expression compares with.
var threshold = regexp.MustCompile(`((?:[<>]=?|==|\*) )([0-9.]+)`)

// mutants are the rule with one threshold, wait or label changed, by what was
// changed.
func mutants(r rule) map[string]rule {
	all := map[string]rule{}
	for i, at := range threshold.FindAllStringSubmatchIndex(r.Expr, -1) {
		number := r.Expr[at[4]:at[5]]
		changes := []string{number + " * 2", number + " / 2"}
		if number == "0" {
			changes = []string{"1"}
		}
		for _, change := range changes {
			m := r
			m.Expr = r.Expr[:at[4]] + change + r.Expr[at[5]:]
			all[fmt.Sprintf("threshold %d: %s", i, change)] = m
		}
	}
	for _, wait := range []string{"double", "half"} {
		m := r
		seconds := seconds(r.For)
		if m.For = fmt.Sprintf("%ds", seconds/2); wait == "double" {
			m.For = fmt.Sprintf("%ds", seconds*2)
		}
		all["for: "+wait] = m
	}
	for label := range r.Labels {
		m := r
		m.Labels = maps.Clone(r.Labels)
		m.Labels[label] = "changed"
		all["label "+label] = m
	}
	return all
}

func seconds(wait string) (n int) {
	var unit byte
	if _, err := fmt.Sscanf(wait, "%d%c", &n, &unit); err != nil {
		return 0
	}
	return n * map[byte]int{'s': 1, 'm': 60, 'h': 3600}[unit]
}

// TestEveryChangeOfAnAlertIsCaught changes each threshold, wait and label of our
// alerts; one of the alert's own cases must then fail.
func TestEveryChangeOfAnAlertIsCaught(t *testing.T) {
	tool := promtool(t)
	for _, file := range glob(t, "*.rules.yaml") {
		if specified[file] != "" {
			continue
		}
		text := load[ruleFile](t, file)
		cases := filepath.Join("tests", strings.TrimSuffix(file, ".rules.yaml")+".test.yaml")
		for _, name := range slices.Sorted(maps.Keys(alerts(t, file))) {
			own := load[testFile](t, cases)
			own.Tests = slices.DeleteFunc(own.Tests, func(c map[string]any) bool { return !strings.HasPrefix(fmt.Sprint(c["name"]), name+" ") })
			all := mutants(alerts(t, file)[name])
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if err := try(t, tool, only(text, name, alerts(t, file)[name]), own); err != nil {
					t.Fatalf("unchanged: %v", err)
				}
				for _, what := range slices.Sorted(maps.Keys(all)) {
					if err := try(t, tool, only(text, name, all[what]), own); err == nil {
						t.Errorf("%s: no case notices", what)
					}
				}
			})
		}
	}
}

// only is the file with its recording rules and one alert.
func only(file ruleFile, name string, as rule) ruleFile {
	var out ruleFile
	for _, g := range file.Groups {
		rules := []rule{}
		for _, r := range g.Rules {
			if r.Alert == name {
				rules = append(rules, as)
			} else if r.Record != "" {
				rules = append(rules, r)
			}
		}
		g.Rules = rules
		out.Groups = append(out.Groups, g)
	}
	return out
}

// try runs the cases against the rules, without what they expect of other alerts.
func try(t *testing.T, tool string, rules ruleFile, cases testFile) error {
	t.Helper()
	dir := t.TempDir()
	cases.RuleFiles = []string{"rules.yaml"}
	for name, content := range map[string]any{"rules.yaml": rules, "tests.yaml": cases} {
		text, err := yaml.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), tool, "test", "rules", filepath.Join(dir, "tests.yaml")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
