package e2e

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hyperfleet/hyperfleet/components/hyperfleet/dev"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// ceiling is how long a scenario waits for something that must happen: far
// longer than it takes, so that reaching it means that it will not happen.
const ceiling = 2 * time.Minute

// shared is the stack on which the scenarios run.
var shared struct {
	api     *client.Client
	baseURL string
	token   string
	dataDir string
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runOnStack(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// runOnStack starts the stack, runs the tests on it, and ends it: a stack that
// does not end well fails the run.
func runOnStack(m *testing.M) (code int, err error) {
	if !pgdev.Found() {
		return m.Run(), nil // each test says why it is skipped
	}
	dir, err := searchableDir()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return 0, err
	}
	defer out.Close()

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	data := filepath.Join(dir, "data")
	go func() { ended <- dev.Run(ctx, dev.Config{Listen: "127.0.0.1:0", DataDir: data, Out: out}) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	env, err := waitForEnv(data, ended)
	if err != nil {
		return 0, err
	}
	shared.dataDir, shared.baseURL, shared.token = data, env["HYPERFLEET_URL"], env["HYPERFLEET_TOKEN"]
	if shared.api, err = client.New(shared.baseURL, client.Bearer(nil, client.TokenText(shared.token)), ceiling); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// searchableDir makes a directory below which PostgreSQL may run as another user.
func searchableDir() (string, error) {
	dir, err := os.MkdirTemp("", "hyperfleet-e2e-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// waitForEnv waits for dev.env and reads it.
func waitForEnv(dataDir string, ended <-chan error) (map[string]string, error) {
	path := filepath.Join(dataDir, "dev.env")
	deadline := time.After(ceiling)
	for {
		if f, err := os.Open(path); err == nil {
			defer f.Close()
			env := map[string]string{}
			for lines := bufio.NewScanner(f); lines.Scan(); {
				name, value, _ := strings.Cut(lines.Text(), "=")
				env[name] = strings.Trim(value, "'")
			}
			return env, nil
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("hyperfleet dev ended before it wrote dev.env: %w", err)
		case <-deadline:
			return nil, fmt.Errorf("no %s after %s", path, ceiling)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestScenarios(t *testing.T) {
	pgdev.Need(t)
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scenarios",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("URL", shared.baseURL)
			env.Setenv("DATA", shared.dataDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"api":      cmdAPI,
			"stranger": cmdStranger,
			"create":   cmdCreate,
			"await":    cmdAwait,
			"story":    cmdStory,
			"shards":   cmdShards,
			"covered":  cmdCovered,
			"gone":     cmdGone,
			"outlived": cmdOutlived,
		},
	})
}

func TestWhatIsSecretIsForItsOwnerAlone(t *testing.T) {
	pgdev.Need(t)
	t.Parallel()
	for _, name := range []string{"dev.env", "issuer.key", "issuer.jwks", "hyperfleet.log"} {
		info, err := os.Stat(filepath.Join(shared.dataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", name, info.Mode().Perm())
		}
	}
}
