package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// signer signs the tokens of a run.
type signer struct {
	jose.Signer
	keys string // what the API reads of it
}

func newSigner(b *testing.B) signer {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	web := jose.JSONWebKey{Key: key, KeyID: "bench", Algorithm: string(jose.ES256), Use: "sig"}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{web.Public()}})
	if err != nil {
		b.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: web}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return signer{s, string(public)}
}

// token is one of a role: sentinel, or viewer, which may record nothing.
func (x *stack) token(role string) string {
	x.Helper()
	text, err := jwt.Signed(x.key).Claims(jwt.Claims{Issuer: "https://bench.example", Subject: role, Audience: jwt.Audience{"hyperfleet"},
		Expiry: jwt.NewNumericDate(time.Now().Add(24 * time.Hour)), IssuedAt: jwt.NewNumericDate(time.Now())}).Serialize()
	if err != nil {
		x.Fatal(err)
	}
	return text
}

// program builds one of the product's programs.
func (x *stack) program(pkg string) string {
	x.Helper()
	path := filepath.Join(x.temp, filepath.Base(pkg))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if out, err := exec.CommandContext(x.Context(), "go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		x.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

func (x *stack) write(name, text string) string {
	x.Helper()
	path := filepath.Join(x.temp, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		x.Fatal(err)
	}
	return path
}

const apiProgram = "github.com/hyperfleet/hyperfleet/components/api/cmd/hyperfleet-api"

func (x *stack) migrate(fleet string) {
	x.Helper()
	cmd := exec.CommandContext(x.Context(), x.program(apiProgram), "migrate", "up")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+x.pg.URL(fleet))
	if out, err := cmd.CombinedOutput(); err != nil {
		x.Fatalf("migrate %s: %v\n%s", fleet, err, out)
	}
}

// process is a program under measurement.
type process struct {
	cmd        *exec.Cmd
	url, admin string
	log        *bytes.Buffer
}

// start runs a program until the benchmark ends or stop is called.
func (x *stack) start(cmd *exec.Cmd, url, admin string) *process {
	x.Helper()
	p := &process{cmd: cmd, url: url, admin: admin, log: &bytes.Buffer{}}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		x.Fatal(err)
	}
	x.Cleanup(p.stop)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequestWithContext(x.Context(), http.MethodGet, admin+"/livez", http.NoBody)
		if err != nil {
			x.Fatal(err)
		}
		if resp, err := x.http.Do(req); err == nil {
			_ = resp.Body.Close()
			return p
		}
		if time.Now().After(deadline) {
			x.Fatalf("%s does not answer\n%s", cmd.Path, p.log)
		}
	}
}

// stop ends it and waits.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Wait()
}

// api serves a fleet.
func (x *stack) api(fleet string) *process {
	x.Helper()
	config := x.write("api.yaml", `auth:
  limits: {workloadsPerMinute: 100000000, peoplePerMinute: 100}
  issuers: [{issuer: "https://bench.example", jwksFile: `+x.write("keys", x.key.keys)+`, audiences: [hyperfleet]}]
  bindings:
  - {issuer: "https://bench.example", claims: {sub: sentinel}, role: sentinel, tenants: ["*"], shards: ["*"], rate: workloads}
  - {issuer: "https://bench.example", claims: {sub: admin}, role: admin, tenants: ["*"], rate: workloads}
  - {issuer: "https://bench.example", claims: {sub: viewer}, role: viewer, tenants: ["*"], rate: workloads}
`)
	listen, admin := freeAddress(x.B), freeAddress(x.B)
	cmd := exec.CommandContext(context.WithoutCancel(x.Context()), x.program(apiProgram),
		"--config-file", config, "--listen", listen, "--admin-listen", admin, "--log-level", "warn")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+x.pg.URL(fleet))
	return x.start(cmd, "http://"+listen, "http://"+admin)
}

// shard is what a measurement sets of a SentinelConfig.
type shard struct {
	role, notReady, ready, poll, broker string
	perSecond                           int
}

// sentinel runs one shard that holds the whole fleet of an API: the product's
// program where it has a broker, else this one in its place, which discards.
func (x *stack) sentinel(api *process, s shard, args ...string) *process {
	x.Helper()
	broker := s.broker
	if broker == "" {
		broker = "{type: stub, topic: bench}"
	}
	budget := ""
	if s.perSecond > 0 {
		budget = fmt.Sprintf("  maxEventsPerSecond: %d\n", s.perSecond)
	}
	config := x.write("sentinel.yaml", fmt.Sprintf(`apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: bench}
spec:
  resourceType: clusters
  shardSelector: {matchLabels: {region: region-1}}
  backoffNotReady: %s
  backoffReady: %s
  pollInterval: %s
  hyperfleetAPI: {url: "%s"}
  broker: %s
%s`, s.notReady, s.ready, s.poll, api.url, broker, budget))
	admin := freeAddress(x.B)
	program, env := x.program("github.com/hyperfleet/hyperfleet/components/sentinel/cmd/hyperfleet-sentinel"), os.Environ()
	if s.broker == "" {
		program, env = os.Args[0], append(os.Environ(), actAsSentinel+"=1")
	}
	cmd := exec.CommandContext(context.WithoutCancel(x.Context()), program, append([]string{"--config-file", config, "--api-token-file",
		x.write("token-"+s.role, x.token(s.role)), "--admin-listen", admin, "--log-level", "warn"}, args...)...)
	cmd.Env = env
	return x.start(cmd, "", "http://"+admin)
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() // the program listens there next
	return l.Addr().String()
}

// metric sums the series of one metric, histograms by their count.
func (x *stack) metric(p *process, name string) float64 {
	x.Helper()
	req, err := http.NewRequestWithContext(x.Context(), http.MethodGet, p.admin+"/metrics", http.NoBody)
	if err != nil {
		x.Fatal(err)
	}
	resp, err := x.http.Do(req)
	if err != nil {
		x.Fatal(err)
	}
	defer resp.Body.Close() // it was only read
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		x.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}

// until waits until a metric reaches a value and returns when it did. It looks
// seldom, because each look costs the process some time.
func (x *stack) until(p *process, name string, value float64, most time.Duration) time.Time {
	x.Helper()
	for end := time.Now().Add(most); ; time.Sleep(100 * time.Millisecond) {
		now := time.Now()
		if x.metric(p, name) >= value {
			return now
		}
		if now.After(end) {
			x.Fatalf("%s is %v after %s, want %v\n%s", name, x.metric(p, name), most, value, strings.TrimSpace(p.log.String()))
		}
	}
}
