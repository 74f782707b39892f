package jobs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestAJobRunsWithWhatItsManifestGives reads the golden file of the adapters'
// manifests: environment, mounts and input there are all that a Job has.
func TestAJobRunsWithWhatItsManifestGives(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "adapter", "internal", "jobspec", "testdata", "the-defaults.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var job struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Env                    []struct{ Name, Value string }
						TerminationMessagePath string
						VolumeMounts           []struct {
							Name, MountPath string
							ReadOnly        bool
						}
					}
				}
			}
		}
	}
	var input struct{ StringData map[string]string }
	manifest, secret, _ := bytes.Cut(text, []byte("\n---\n"))
	for _, part := range []struct {
		text []byte
		into any
	}{{manifest, &job}, {secret, &input}} {
		if err := yaml.Unmarshal(part.text, part.into); err != nil {
			t.Fatal(err)
		}
	}
	c := job.Spec.Template.Spec.Containers[0]
	env, mounts := map[string]string{}, map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	for _, m := range c.VolumeMounts {
		if mounts[m.Name] = m.MountPath; m.ReadOnly {
			mounts[m.Name] += " (read only)"
		}
	}
	want := map[string]string{"input": inputDir + " (read only)", "output": outputDir}
	if diff := cmp.Diff(want, mounts); diff != "" {
		t.Errorf("mounts (-the job's defaults +the manifest's):\n%s", diff)
	}
	for _, name := range []string{"INPUT_DIR", "OUTPUT_DIR", "TERMINATION_LOG"} {
		if env[name] != "" {
			t.Errorf("%s is %s: the mounts are the defaults", name, env[name])
		}
	}
	if c.TerminationMessagePath != terminationLog {
		t.Errorf("the termination log is %s, the job writes %s", c.TerminationMessagePath, terminationLog)
	}

	dir := t.TempDir() // in the place of the mounts
	for name, content := range input.StringData {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	end := filepath.Join(dir, "end")
	env["INPUT_DIR"], env["OUTPUT_DIR"], env["TERMINATION_LOG"] = dir, filepath.Join(dir, "output"), end
	var stderr bytes.Buffer
	if code := Main(t.Context(), env["ADAPTER"], Process{nil, func(name string) string { return env[name] }, io.Discard, &stderr}); code != 0 {
		t.Errorf("the job of the golden file exits %d: %s", code, stderr.String())
	}
}
