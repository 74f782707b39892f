package dev

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/service"
)

// failedStart runs c, which must not start, and returns what it says.
func failedStart(t *testing.T, c Config) string {
	t.Helper()
	c.Out = new(bytes.Buffer)
	err := Run(t.Context(), c)
	if err == nil {
		t.Fatal("it started, and ended well")
	}
	return err.Error()
}

func TestAStartNamesEveryProblemOfPortAndDirectory(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := failedStart(t, Config{Listen: taken.Addr().String(), DataDir: file})
	for _, want := range []string{taken.Addr().String(), "choose another port", file} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

func TestAWrongDatabaseIsSaidByWhatItIs(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	got := failedStart(t, Config{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), DatabaseURL: service.Secret("postgres://user:hunter2@" + address + "/x"),
	})
	if !strings.Contains(got, "check database-url") || strings.Contains(got, "hunter2") || strings.Contains(got, "wait for the API") {
		t.Errorf("it says %q", got)
	}
}

func TestAListenerOnEveryInterfaceIsReachedOnLoopback(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if got := urlOf(ln); !strings.HasPrefix(got, "http://127.0.0.1:") {
			t.Errorf("listening on %s: %s", listen, got)
		}
	}
}

func TestAuthenticationIsOffOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode, listen string
		fine         bool
	}{
		{"", "0.0.0.0:1", true}, {"jwt", "0.0.0.0:1", true}, {"disabled", "127.0.0.1:1", true}, {"disabled", "[::1]:1", true},
		{"disabled", "localhost:1", true}, {"disabled", "0.0.0.0:1", false}, {"disabled", ":1", false}, {"disabled", "10.0.0.1:1", false}, {"off", "127.0.0.1:1", false},
	} {
		err := Config{AuthMode: c.mode, Listen: c.listen}.Validate()
		if (err == nil) != c.fine {
			t.Errorf("%q on %s: %v", c.mode, c.listen, err)
		}
	}
}
