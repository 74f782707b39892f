package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// benchRows is the large fleet's size.
func benchRows(b *testing.B) int {
	b.Helper()
	text := os.Getenv("BENCH_ROWS")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100_000 {
		b.Fatalf("BENCH_ROWS=%q: write a number from 100000", text)
	}
	return n
}

// benchTime is how long a measurement under load lasts.
func benchTime(b *testing.B, name string, standard time.Duration) time.Duration {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		b.Fatalf("%s=%q: write a duration from 1s", name, text)
	}
	return d
}

// bench is a durable PostgreSQL with a large fleet, and the API before it.
type bench struct {
	*testing.B
	pg      *pgdev.Server
	url     string
	db      *sqlx.DB
	store   *Store
	rows    int
	dir     string
	token   string // an admin's
	adapter string // one of the adapter dns: what an admin reports is noted, one by one
	api     *process
	ids     []string // some of the fleet's
	rate    float64  // of reports, as measured

	client *http.Client
}

// process is a server of the benchmark.
type process struct {
	cmd *exec.Cmd
	url string
}

func newBench(b *testing.B) *bench {
	b.Helper()
	pgdev.Need(b)
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	x := &bench{B: b, rows: benchRows(b), dir: b.TempDir(), client: &http.Client{Timeout: time.Minute}}
	x.startServer(ctx)
	x.url = x.fleet(x.rows)
	var err error
	if x.store, err = Open(ctx, Config{URL: x.url}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.store.Close() })
	x.db = x.store.db.DB
	if err := x.db.SelectContext(b.Context(), &x.ids, `SELECT id FROM clusters TABLESAMPLE SYSTEM (5) LIMIT 20000`); err != nil {
		b.Fatal(err)
	}
	x.serve()
	return x
}

// startServer starts PostgreSQL, twice because some settings ask for that.
func (x *bench) startServer(ctx context.Context) {
	x.Helper()
	dir := os.Getenv("BENCH_DATA")
	if dir == "" {
		dir = x.dir
	}
	for range 2 {
		if x.pg != nil {
			x.execute("postgres", `ALTER SYSTEM SET shared_buffers = '1GB'`, `ALTER SYSTEM SET max_wal_size = '8GB'`)
			if err := x.pg.Stop(); err != nil {
				x.Fatal(err)
			}
		}
		var err error
		if x.pg, err = pgdev.Start(ctx, pgdev.Options{DataDir: filepath.Join(dir, "postgres"), Durable: true}); err != nil {
			x.Fatal(err)
		}
	}
	x.Cleanup(func() { _ = x.pg.Stop() })
}

// execute runs statements on a connection of their own.
func (x *bench) execute(database string, texts ...string) {
	x.Helper()
	db, err := sqlx.Open("postgres", x.pg.URL(database))
	if err != nil {
		x.Fatal(err)
	}
	defer db.Close() // a benchmark's
	for _, text := range texts {
		if _, err := db.ExecContext(x.Context(), text); err != nil {
			x.Fatalf("%s: %v", text, err)
		}
	}
}

// fleet returns the address of a fresh fleet of so many rows: a copy of the one
// that this data directory keeps, which is loaded where there is none.
func (x *bench) fleet(rows int) string {
	x.Helper()
	kept, fresh := fmt.Sprintf("loaded_%d", rows), fmt.Sprintf("fleet_%d", rows)
	var s struct {
		Loaded  bool `db:"loaded"`
		Version int  `db:"version"`
	}
	db, err := sqlx.Open("postgres", x.pg.URL("postgres"))
	if err != nil {
		x.Fatal(err)
	}
	defer db.Close() // a benchmark's
	const ask = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS loaded, current_setting('server_version_num')::int AS version`
	if err := db.GetContext(x.Context(), &s, ask, kept); err != nil {
		x.Fatal(err)
	}
	if !s.Loaded {
		x.execute("postgres", `DROP DATABASE IF EXISTS loading`, `CREATE DATABASE loading TEMPLATE template0`)
		store, err := Open(x.Context(), Config{URL: x.pg.URL("loading")})
		if err != nil {
			x.Fatal(err)
		}
		defer store.Close() // again where it is closed below
		if err := store.Migrate(x.Context()); err != nil {
			x.Fatal(err)
		}
		populate(x.B, store, rows)
		if err := store.Close(); err != nil {
			x.Fatal(err)
		}
		x.execute("postgres", `ALTER DATABASE loading RENAME TO `+kept)
	}
	how := ""
	if s.Version >= 150000 {
		how = " STRATEGY file_copy" // as before: through the log it would be written twice
	}
	x.execute("postgres", `DROP DATABASE IF EXISTS `+fresh+` WITH (FORCE)`, `CREATE DATABASE `+fresh+` TEMPLATE `+kept+how, `CHECKPOINT`)
	return x.pg.URL(fresh)
}

// serve builds the API and runs it with authentication on.
func (x *bench) serve() {
	x.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		x.Fatal(err)
	}
	web := jose.JSONWebKey{Key: key, KeyID: "bench", Algorithm: string(jose.ES256), Use: "sig"}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{web.Public()}})
	if err != nil {
		x.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: web}, nil)
	if err != nil {
		x.Fatal(err)
	}
	for subject, token := range map[string]*string{"bench": &x.token, "dns": &x.adapter} {
		*token, err = jwt.Signed(signer).Claims(jwt.Claims{Issuer: "https://bench.example", Subject: subject, Audience: jwt.Audience{"hyperfleet"},
			Expiry: jwt.NewNumericDate(time.Now().Add(24 * time.Hour)), IssuedAt: jwt.NewNumericDate(time.Now())}).Serialize()
		if err != nil {
			x.Fatal(err)
		}
	}
	keys, file := filepath.Join(x.dir, "keys"), filepath.Join(x.dir, "api.yaml")
	config := `auth:
  limits: {workloadsPerMinute: 100000000, peoplePerMinute: 100}
  issuers: [{issuer: "https://bench.example", jwksFile: ` + keys + `, audiences: [hyperfleet]}]
  bindings:
    - {issuer: "https://bench.example", claims: {sub: bench}, role: admin, tenants: ["*"], rate: workloads}
    - {issuer: "https://bench.example", claims: {sub: dns}, role: adapter, adapterName: dns, tenants: ["*"]}
`
	for name, text := range map[string]string{keys: string(public), file: config} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			x.Fatal(err)
		}
	}
	listen := freeAddress(x)
	x.api = x.run("../../cmd/hyperfleet-api", listen, []string{"--config-file", file, "--listen", listen, "--admin-listen", freeAddress(x), "--log-level", "warn"})
}

// run builds a program and starts it; it must answer at its address soon.
func (x *bench) run(pkg, listen string, args []string, env ...string) *process {
	x.Helper()
	program := filepath.Join(x.dir, filepath.Base(pkg))
	if out, err := exec.CommandContext(x.Context(), "go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		x.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(x.Context()), program, args...)
	cmd.Env = append(append(os.Environ(), "DATABASE_URL="+x.url), env...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	p := &process{cmd, "http://" + listen}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := x.client.Do(x.request("GET", p.url+"/v1/clusters?limit=1", ""))
		if err == nil {
			_ = resp.Body.Close()
			return p
		}
		if time.Now().After(deadline) {
			x.Fatalf("%s does not answer: %v\n%s", pkg, err, log.String())
		}
	}
}

// memory is what a process holds, in MiB.
func (p *process) memory(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0 // only Linux tells
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

// ownCPU is the processor time that this process, the load generator, has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
