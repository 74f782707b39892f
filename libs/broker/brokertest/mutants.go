package brokertest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Mutant breaks one promise of a driver: in File, Old becomes New.
type Mutant struct {
	Name, File, Old, New string
	Tests                string // of which one at least must fail
}

// Catch runs the tests of the package in the working directory as each mutant
// has it: a suite that does not notice is worth nothing. The sources stay as
// they are: the compiler is told to read others in their place.
func Catch(t *testing.T, mutants []Mutant) {
	t.Helper()
	for _, m := range mutants {
		t.Run(m.Name, func(t *testing.T) {
			out, err := m.run(t)
			switch {
			case err == nil:
				t.Fatalf("the suite passed:\n%s", out)
			case !strings.Contains(out, "--- FAIL: Test"):
				t.Fatalf("the suite did not run: %v\n%s", err, out)
			}
		})
	}
}

func (m Mutant) run(t *testing.T) (string, error) {
	t.Helper()
	text, err := os.ReadFile(m.File)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		t.Fatalf("%s has the text that the mutant replaces %d times, want once: %q", m.File, n, m.Old)
	}
	dir := t.TempDir()
	mutant, overlay := filepath.Join(dir, m.File), filepath.Join(dir, "overlay.json")
	path, err := filepath.Abs(m.File)
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{mutant: strings.Replace(string(text), m.Old, m.New, 1), overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1", "-timeout=5m", "-run", m.Tests, ".")
	cmd.Env = append(os.Environ(), "ROUNDS=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
