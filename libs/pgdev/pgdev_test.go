package pgdev

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGDEV_HELPER") != "" {
		helper()
		return
	}
	Main(m)
}

// testContext bounds what a test waits for: reaching it means that it will not happen.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	Need(t)
	s, err := Start(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t *testing.T, url, statement string) string {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var got string
	if err := db.QueryRowContext(testContext(t), statement).Scan(&got); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return got
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(testContext(t), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestATemporaryServerLeavesNothing(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	Need(t)
	s, err := Start(testContext(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := query(t, s.URL("postgres"), "SHOW fsync"); got != "off" {
		t.Errorf("fsync of a temporary server is %s, want off", got)
	}
	if got := query(t, s.URL("postgres"), "SHOW listen_addresses"); got != "127.0.0.1" {
		t.Errorf("it listens on %s, want 127.0.0.1 alone", got)
	}
	dir, pid := s.room.dir, s.proc.pid
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("the server is in process group %d (%v), where a Ctrl-C at the terminal reaches it", group, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err after Stop = %v, want none", err)
	}
	if exists(dir) {
		t.Errorf("%s is still there", dir)
	}
	if alive(pid) {
		t.Errorf("process %d is still there", pid)
	}
	goleak.VerifyNone(t, leaks)
}

func TestADurableServerKeepsItsDataAndItsPassword(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	s := start(t, Options{DataDir: dir, Durable: true})
	if got := query(t, s.URL("postgres"), "SHOW fsync"); got != "on" {
		t.Errorf("fsync of a durable server is %s, want on", got)
	}
	for range 2 {
		if err := s.CreateDatabase(testContext(t), "kept"); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, s.URL("kept"), "CREATE TABLE t AS SELECT 'here' AS v")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, Options{DataDir: dir, Durable: true})
	if got := query(t, again.URL("kept"), "SELECT v FROM t"); got != "here" {
		t.Errorf("got %q after a restart", got)
	}
	if again.password != s.password {
		t.Error("the password changed")
	}
}

func TestNobodyEntersWithoutThePassword(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	info, err := os.Stat(s.room.path("password"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password's mode is %s, want 0600", info.Mode().Perm())
	}
	db, err := sql.Open("postgres", strings.Replace(s.URL("postgres"), s.password, "wrong", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(testContext(t)); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("a wrong password gives %v", err)
	}
}

func TestADataDirectoryHasOneUserAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir})
	if _, err := Start(testContext(t), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second Start on the same directory: %v", err)
	}
	if got := query(t, s.URL("postgres"), "SELECT 'fine'"); got != "fine" {
		t.Error("the first server was disturbed")
	}
}

func TestADataDirectoryOfAnotherVersionIsRefusedInWords(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	s := start(t, Options{DataDir: dir})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(testContext(t), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 9") {
		t.Fatalf("Start = %v", err)
	}
}

func TestAStartThatFailsQuotesTheLog(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	_, err := Start(testContext(t), Options{Port: s.port})
	if err == nil || !strings.Contains(err.Error(), "Address already in use") || !strings.Contains(err.Error(), "postgres.log") {
		t.Fatalf("Start on a port in use: %v", err)
	}
}

func TestAServerThatDiesSaysSo(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	kill(t, s.proc.pid)
	select {
	case <-s.Done():
	case <-testContext(t).Done():
		t.Fatal("Done stays open")
	}
	if s.Err() == nil {
		t.Error("Err says nothing")
	}
}

func TestDatabasesOfParallelTestsAreSeparate(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("a database", func(t *testing.T) {
			t.Parallel()
			url := Database(t)
			execute(t, url, "CREATE TABLE t AS SELECT 1 AS n")
			if got := query(t, url, "SELECT count(*) FROM t"); got != "1" {
				t.Errorf("count = %s", got)
			}
		})
	}
}

func TestDatabaseNamesFit(t *testing.T) {
	t.Parallel()
	got := databaseName("TestÄ/"+strings.Repeat("x", 200), 7)
	if len(got) > 63 || !strings.HasPrefix(got, "t7_test_x") {
		t.Errorf("databaseName = %q", got)
	}
}
