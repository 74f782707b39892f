package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/partition"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// pgbouncer starts a PgBouncer in transaction mode, with fewer connections to
// the server than its clients have, and returns the database's URL through it.
// What it sets for a session is what README.md tells operators to set.
func pgbouncer(t *testing.T, database string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/pgbouncer"); err != nil {
			t.Skip("PgBouncer was not found; install it with: apt-get install --no-install-recommends pgbouncer")
		}
		program = "/usr/sbin/pgbouncer"
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hyperfleet-pooler-") // not t.TempDir, which another user cannot reach
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password, _ := u.User.Password()
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`[databases]
%[1]s = host=127.0.0.1 port=%[2]s dbname=%[1]s connect_query='SET statement_timeout = ''10s''; SET lock_timeout = ''10s''; SET idle_in_transaction_session_timeout = ''30s''; SET jit = off'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[3]s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %[4]s/users
pool_mode = transaction
default_pool_size = 3
`, strings.TrimPrefix(u.Path, "/"), u.Port(), port, dir)
	for name, text := range map[string]string{"users": fmt.Sprintf("%q %q\n", u.User.Username(), password), "ini": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{filepath.Join(dir, "ini")}
	if os.Geteuid() == 0 { // which it refuses to run as
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"-u", "nobody"}, args...)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	u.Host = net.JoinHostPort("127.0.0.1", port)
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", u.Host)
		if err == nil {
			_ = conn.Close()
			return u.String()
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("PgBouncer ended: %v\n%s", err, log.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("PgBouncer does not answer: %v", err)
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // only its address is wanted
	return ln.Addr().String()
}

// TestEverythingWorksThroughAPoolerInTransactionMode: eight clients share three
// connections, so that no two transactions of one are sure to meet the same.
func TestEverythingWorksThroughAPoolerInTransactionMode(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	migrate(t, roles.Owner)
	through := pgbouncer(t, roles.Application)
	s := openWith(t, Config{URL: through, Pooler: true})
	if err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ahead, err := s.Upkeep(t.Context(), 90*24*time.Hour); err != nil || ahead["statuses"] != partition.Ahead {
		t.Fatalf("upkeep: %v, %v", ahead, err)
	}
	var group sync.WaitGroup
	failures := make(chan error, 8)
	for i := range cap(failures) {
		group.Go(func() {
			for round := range 10 {
				if err := liveOnce(t.Context(), s, fmt.Sprintf("c-%d-%d", i, round)); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	var timeout string
	if err := s.db.DB.GetContext(t.Context(), &timeout, `SHOW statement_timeout`); err != nil || timeout != "10s" {
		t.Errorf("the pooler's sessions have a statement_timeout of %q: %v", timeout, err)
	}
	prepares := openWith(t, Config{URL: through})
	if err := prepares.Await(t.Context()); err == nil {
		t.Error("a store that does not know of the pooler works too: the pooler is none")
	}
}

// liveOnce takes one cluster through its life.
func liveOnce(ctx context.Context, s *Store, name string) error {
	sel, err := labels.Parse("region in (east),tier notin (x),!gone")
	if err != nil {
		return err
	}
	n := fleet.NewResource{Name: name, Labels: map[string]string{"region": "east", "run": name}, Spec: json.RawMessage(`{"a":"ü\""}`)}
	r, err := s.Create(ctx, clusters, "default", n, once.Request{})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for _, adapter := range required {
		report := fleet.NewReport{AdapterName: adapter, Phase: complete, Message: "done", Data: json.RawMessage(`{"n":1}`), RetryAfter: "1h"}
		for range 2 {
			if _, err := s.Report(ctx, clusters, all, r.ID, report); err != nil {
				return fmt.Errorf("report: %w", err)
			}
		}
	}
	due, err := s.Due(ctx, clusters, schedule.Query{Selector: sel, Limit: page.MaxLimit})
	if err != nil || len(due.Items) == 0 {
		return fmt.Errorf("due: %d items: %w", len(due.Items), errors.Join(err))
	}
	if err := s.Published(ctx, clusters, []string{due.Items[0].Token}, fleet.Backoff{NotReady: time.Second, Ready: time.Hour}); err != nil {
		return fmt.Errorf("published: %w", err)
	}
	list, err := s.list(ctx, clusters, tenant.Only("default"), resource.Query{Selector: sel, Phases: []fleet.Phase{fleet.Ready}, Name: name})
	if err != nil || len(list.Items) != 1 {
		return fmt.Errorf("list: %d items: %w", len(list.Items), errors.Join(err))
	}
	got, err := s.Get(ctx, clusters, all, r.ID, false)
	if err != nil || !strings.Contains(string(got.Status), `"phase":"Ready"`) || !strings.Contains(string(got.Status), `"data":{"n":1}`) {
		return fmt.Errorf("get: %s: %w", got.Status, errors.Join(err))
	}
	page, err := history(ctx, s, clusters, all, r.ID, ReportQuery{Adapter: "dns"})
	if err != nil || len(page.Items) != 1 || page.Items[0].Reports != 2 {
		return fmt.Errorf("history: %+v: %w", page.Items, errors.Join(err))
	}
	return nil
}
