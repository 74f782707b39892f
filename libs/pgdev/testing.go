package pgdev

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shared is the server of a test process. Tests of one package have nothing to
// hand a server through but the package, hence the one variable.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	inMain atomic.Bool
	names  atomic.Int64
}

// Main is the body of a TestMain: it runs the tests of a package that uses
// [Database] and stops the server that they shared.
func Main(m *testing.M) {
	shared.inMain.Store(true)
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the tests' PostgreSQL:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Database returns the URL of a fresh, empty database on the test process's
// server, which the first call starts. The database is dropped when the test
// ends. Without PostgreSQL on the machine the test is skipped: tests fetch nothing.
func Database(t testing.TB) string {
	t.Helper()
	if !shared.inMain.Load() {
		t.Fatal("pgdev.Database needs: func TestMain(m *testing.M) { pgdev.Main(m) }")
	}
	if find() == "" {
		t.Skipf("PostgreSQL was not found (%s); %s", searched, installHint())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shared.once.Do(func() { shared.server, shared.err = Start(ctx, Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	name := databaseName(t.Name(), shared.names.Add(1))
	if err := shared.server.CreateDatabase(ctx, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := shared.server.dropDatabase(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return shared.server.URL(name)
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// databaseName is readable, unique by its number, and short enough for PostgreSQL (63 bytes).
func databaseName(test string, number int64) string {
	name := notInNames.ReplaceAllString(strings.ToLower(test), "_")
	return fmt.Sprintf("t%d_%.40s", number, name)
}
