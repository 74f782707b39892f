package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// asJob makes the test binary a job's process.
const asJob = "HYPERFLEET_TEST_JOB"

func TestMain(m *testing.M) {
	if kind := os.Getenv(asJob); kind != "" {
		os.Exit(Main(context.Background(), kind, Process{nil, os.Getenv, os.Stdout, os.Stderr}))
	}
	os.Exit(m.Run())
}

// prepared writes a job's input and returns its environment.
func prepared(t *testing.T, kind string, c fleet.Resource, output string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"CLUSTER_ID": c.ID, "GENERATION": "1", "ATTEMPT": "1", "ADAPTER": kind, "MODE": "create",
		"INPUT_DIR": dir, "OUTPUT_DIR": output, "TERMINATION_LOG": filepath.Join(dir, "log")}
}

func TestProcessesShareOneZone(t *testing.T) {
	const clusters = 6
	for range fleettest.Rounds(t) {
		dir := t.TempDir()
		var all sync.WaitGroup
		for n := range 2 * clusters {
			env := prepared(t, "dns", numbered(t, n%clusters), dir)
			all.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), asJob+"=dns")
				for k, v := range env {
					cmd.Env = append(cmd.Env, k+"="+v)
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				var end ended
				text, err := os.ReadFile(env["TERMINATION_LOG"])
				if err == nil {
					err = json.Unmarshal(text, &end)
				}
				if err != nil || !strings.Contains(string(end.Data), `"apiHost":"api.c`) || end.Message == "" {
					t.Errorf("termination log %s: %v", text, err)
				}
			})
		}
		all.Wait()
		checkZone(t, filepath.Join(dir, "dns", "clusters.example.com.zone"), clusters)
	}
}

func writePool(t *testing.T, env map[string]string, pool string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(env["INPUT_DIR"], "nodepool.json"), []byte(pool), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAProcessThatFailsLeavesItsMessage(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   []string
	}{
		"a spec that breaks a policy": {func(env map[string]string) {
			c := example(t)
			c.Spec = json.RawMessage(`{"version":"4.16.3"}`)
			text, err := json.Marshal(c)
			if err == nil {
				err = os.WriteFile(filepath.Join(env["INPUT_DIR"], "cluster.json"), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, []string{"1 policy violated: region-is-known at /region"}},
		"another adapter, generation and cluster": {func(env map[string]string) {
			env["ADAPTER"], env["GENERATION"], env["CLUSTER_ID"], env["ATTEMPT"] = "dns", "2", "x", "zero"
		}, []string{`ADAPTER is "dns"`, "GENERATION is 2, cluster.json is of 1", `CLUSTER_ID is "x"`, `ATTEMPT is "zero"`}},
		"a pool without its file": {func(env map[string]string) { env["RESOURCE_TYPE"] = "nodepools" }, []string{"nodepool.json"}},
		"a pool of another id, generation and spec": {func(env map[string]string) {
			env["RESOURCE_TYPE"], env["RESOURCE_ID"], env["GENERATION"] = "nodepools", "x", "2"
			writePool(t, env, `{"id":"01900000-0000-7000-8000-000000000002","name":"extra","generation":3,"spec":{"replicas":-1}}`)
		}, []string{`RESOURCE_ID is "x", nodepool.json is of "01900000`, "GENERATION is 2, nodepool.json is of 3"}},
		"a pool that breaks a policy": {func(env map[string]string) {
			env["RESOURCE_TYPE"], env["RESOURCE_ID"] = "nodepools", "01900000-0000-7000-8000-000000000002"
			writePool(t, env, `{"id":"01900000-0000-7000-8000-000000000002","name":"extra","generation":1,"spec":{"replicas":-1}}`)
		}, []string{"replicas-in-range at /replicas"}},
		"a resource that is neither": {func(env map[string]string) { env["RESOURCE_TYPE"] = "hosts" }, []string{`RESOURCE_TYPE is "hosts"`}},
		"a mode that there is not":   {func(env map[string]string) { env["MODE"] = "mend" }, []string{`mode "mend": want create, delete or check`}},
		"no input at all": {func(env map[string]string) {
			env["GENERATION"] = ""
			env["INPUT_DIR"] = filepath.Join(env["INPUT_DIR"], "absent")
		}, []string{"cluster.json", "GENERATION"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := prepared(t, "validation", example(t), t.TempDir())
			c.change(env)
			var stderr bytes.Buffer
			code := Main(t.Context(), "validation", Process{nil, func(k string) string { return env[k] }, io.Discard, &stderr})
			text, err := os.ReadFile(env["TERMINATION_LOG"])
			if err != nil || code != 1 {
				t.Fatalf("exit code %d, %v", code, err)
			}
			var end ended
			if err := json.Unmarshal(text, &end); err != nil {
				t.Errorf("termination log %s: %v", text, err)
			}
			if violated := strings.Contains(end.Message, "violated"); violated != strings.Contains(string(end.Data), `"violations":[{"policy":"`) {
				t.Errorf("data %s of %q", end.Data, end.Message)
			}
			for _, want := range c.want {
				if !strings.Contains(end.Message, want) || !strings.Contains(stderr.String(), want) {
					t.Errorf("%q is not in %q and %q", want, end.Message, &stderr)
				}
			}
		})
	}
}

func TestATerminationLogIsNeverCutInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		end  ended
		fits bool
	}{
		"a short one":            {ended{"done", json.RawMessage(`{"a":1}`)}, true},
		"a long message":         {ended{strings.Repeat("ü", 5000), json.RawMessage(`{"a":1}`)}, true},
		"a message of quotes":    {ended{strings.Repeat(`"`, 4090), nil}, true},
		"data that does not fit": {ended{"done", json.RawMessage(`"` + strings.Repeat("a", 5000) + `"`)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := c.end.fit(maxTermination)
			var got ended
			if bad := json.Unmarshal(text, &got); bad != nil || len(text) > maxTermination || got.Message == "" {
				t.Errorf("%d bytes: %s, %v", len(text), text, bad)
			}
			if (err == nil) != c.fits {
				t.Errorf("got %v", err)
			}
			if c.fits && !bytes.Equal(got.Data, c.end.Data) {
				t.Errorf("data %s", got.Data)
			}
		})
	}
}

func TestNoCredentialIsEverSaid(t *testing.T) {
	const secret = "s3cr3t-t0ken"
	const encoded = "dXNlcjpzM2NyM3QtdDBrZW4=" // user:s3cr3t-t0ken
	for name, file := range map[string]string{
		"a good file":                `{"auths":{"registry.example.com":{"auth":"` + encoded + `"}}}`,
		"a file that is no JSON":     `{"auths":` + secret,
		"another type":               `{"auths":{"registry.example.com":"` + secret + `"}}`,
		"an auth that is no base64":  `{"auths":{"registry.example.com":{"auth":"` + secret + `"}}}`,
		"a registry with a password": `{"auths":{"user:` + secret + `@registry.example.com":{"auth":"` + encoded + `"}}}`,
		"a number for a credential":  `{"auths":{"registry.example.com":{"auth":735319026481,"password":"` + secret + `"}}}`,
		"an unknown key":             `{"` + secret + `":1,"auths":{"registry.example.com":{"auth":"` + encoded + `"}}}`,
		"auths that are a secret":    `{"auths":"` + secret + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			c := example(t)
			c.Spec = json.RawMessage(`{"pullSecrets":["mine"]}`)
			env := prepared(t, "pullsecret", c, out)
			env["LOG_LEVEL"], env["PULL_SECRET_DIR"] = "debug", env["INPUT_DIR"]
			if err := os.WriteFile(filepath.Join(env["INPUT_DIR"], "mine.json"), []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			code := Main(t.Context(), "pullsecret", Process{nil, func(k string) string { return env[k] }, io.Discard, &log})
			end, err := os.ReadFile(env["TERMINATION_LOG"])
			if err != nil {
				t.Fatal(err)
			}
			for _, said := range []string{string(end), log.String()} {
				if said == "" || strings.Contains(said, secret) || strings.Contains(said, encoded) || strings.Contains(said, "735319026481") {
					t.Errorf("exit code %d: %s", code, said)
				}
			}
		})
	}
}
