// Package binddev runs a private BIND for tests: on a free port of the loopback
// interface, authoritative for one zone, which takes signed updates.
package binddev

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Zone takes updates that are signed with Key, whose secret (base64) is Secret.
// Beside it closed.example.com takes none, and api.people in both is somebody's.
const (
	Zone   = "fleet.example.com."
	Key    = "fleet"
	Secret = "c2VjcmV0LW9mLXRoZS10ZXN0cy1hbmQtbm90aGluZy1lbHNl" //nolint:gosec // a key of the test's own server
)

// Server is a private BIND.
type Server struct {
	Address string // host:port
	dir     string
	cmd     *exec.Cmd
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs BIND until the test ends. Where it is not installed the test is
// skipped, or fails if REQUIRE=all.
func Start(t testing.TB) *Server {
	t.Helper()
	path, err := exec.LookPath("named")
	if err != nil {
		const hint = "BIND is not installed: apt-get install bind9"
		if os.Getenv("REQUIRE") == "all" {
			t.Fatal(hint)
		}
		t.Skip("SKIPPED: " + hint)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Server{Address: l.Addr().String(), dir: t.TempDir(), log: &lockedBuffer{}}
	_, port, err := net.SplitHostPort(b.Address)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`options { directory %q; listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile %q;
  recursion no; dnssec-validation no; };
controls { };
key "fleet." { algorithm hmac-sha256; secret %q; };
zone %q { type primary; file "zone"; allow-update { key "fleet."; }; };
zone "closed.example.com" { type primary; file "closed"; };
`, b.dir, port, filepath.Join(b.dir, "session.key"), Secret, Zone)
	zone := "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\napi.people A 192.0.2.1\n"
	for name, text := range map[string]string{"named.conf": config, "zone": zone, "closed": zone, "key": Secret + "\n"} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.cmd = exec.CommandContext(t.Context(), path, "-g", //nolint:gosec // BIND as it was found
		"-c", filepath.Join(b.dir, "named.conf"))
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	b.cmd.SysProcAttr = tied()
	b.cmd.Cancel = func() error { return b.cmd.Process.Signal(syscall.SIGTERM) }
	started, ended := make(chan error), make(chan struct{})
	go func() { // the server ends with the thread that started it
		runtime.LockOSThread()
		defer close(ended)
		err := b.cmd.Start()
		started <- err
		if err == nil {
			_ = b.cmd.Wait() // it is killed in the end
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.cmd.Process.Kill(); <-ended })
	deadline := time.Now().Add(time.Minute)
	for {
		m := new(dns.Msg).SetQuestion(Zone, dns.TypeSOA)
		answer, err := dns.ExchangeContext(t.Context(), m, b.Address)
		if err == nil && answer.Authoritative {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("BIND does not answer: %v\n%s", err, b.log)
		}
		<-time.After(20 * time.Millisecond) // until the next look
	}
}

// URL is how a job is told of the server.
func (b *Server) URL() string {
	return fmt.Sprintf("rfc2136://%s?key=%s&secretFile=%s", b.Address, Key, filepath.Join(b.dir, "key"))
}
