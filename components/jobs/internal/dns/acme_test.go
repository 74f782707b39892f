package dns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/acme"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/nameserver"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/nameserver/binddev"
)

// pebble is a private ACME server, which asks one name server.
type pebble struct {
	directory, roots string
	root             *x509.CertPool
	down             bool
}

func startPebble(t *testing.T, nameServer string) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	log, store := stdlog.New(io.Discard, "", 0), db.NewMemoryStore()
	authority := ca.New(log, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	front := wfe.New(log, store, va.New(log, 0, 0, false, nameServer, store), authority, nil, false, false, 0, 0)
	p := &pebble{root: x509.NewCertPool()}
	handler := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.directory = server.URL + wfe.DirectoryPath
	p.root.AppendCertsFromPEM(authority.GetRootCert(0).PEM())
	p.roots = filepath.Join(t.TempDir(), "roots.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(p.roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func atProvider(t *testing.T, b *binddev.Server, p *pebble, dir string) Options {
	t.Helper()
	provider, err := nameserver.Open(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	return Options{AuthorityDir: dir, SecretPath: filepath.Join(dir, "tls.yaml"), Secret: manifest.Meta{Name: "prod-tls", Namespace: "ns"}, Now: time.Now(),
		Provider: provider, ACME: &acme.Issuer{Directory: p.directory, RootsFile: p.roots, AccountKey: filepath.Join(dir, "acme.key"), Records: provider}}
}

func inFleet(base string) Names {
	return Names{Cluster: "c1", Tenant: "t1", Name: "prod", BaseDomain: base, Target: "c1.ingress.example.com", TTL: 60}
}

func TestNamesAndCertificatesFromRealServers(t *testing.T) {
	b := binddev.Start(t)
	p := startPebble(t, b.Address)
	dir := t.TempDir()
	n := inFleet("fleet.example.com")
	o := atProvider(t, b, p, dir)
	if _, err := Run(t.Context(), n, o); err != nil {
		t.Fatal(err)
	}
	first, key, err := readPair(o.SecretPath)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(first, key)
	if err != nil {
		t.Fatal(err)
	}
	intermediates := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		intermediates.AddCert(c)
	}
	for _, host := range []string{n.API(), "shop.apps." + n.Base()} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: p.root, Intermediates: intermediates}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		m := new(dns.Msg).SetQuestion(dns.Fqdn(host), dns.TypeCNAME)
		answer, err := dns.ExchangeContext(t.Context(), m, b.Address)
		if err != nil || len(answer.Answer) != 1 || answer.Answer[0].(*dns.CNAME).Target != n.Target+"." {
			t.Errorf("%s: %v, %v", host, answer, err)
		}
	}

	if _, err := Run(t.Context(), n, o); err != nil {
		t.Fatal(err)
	}
	if again, _, err := readPair(o.SecretPath); err != nil || string(again) != string(first) {
		t.Errorf("a second run has another certificate: %v", err)
	}
	o.Now = pair.Leaf.NotAfter.Add(-pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore) / 4)
	if _, err := Run(t.Context(), n, o); err != nil {
		t.Fatal(err)
	}
	if renewed, _, err := readPair(o.SecretPath); err != nil || string(renewed) == string(first) {
		t.Errorf("a certificate with a quarter of its life left was kept: %v", err)
	}

	o.Now, o.Former = time.Now(), n.BaseDomain
	if _, err := Run(t.Context(), inFleet("sub.fleet.example.com"), o); err != nil {
		t.Fatal(err)
	}
	if got := txt(t, b, "_hyperfleet."+n.Base()); len(got) != 0 {
		t.Errorf("the names of the earlier spec are left: %v", got)
	}
	o.Former = ""
	if err := Remove(t.Context(), inFleet("sub.fleet.example.com"), o); err != nil {
		t.Fatal(err)
	}
	if got := txt(t, b, "_hyperfleet.prod.sub.fleet.example.com"); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	if _, err := os.Stat(o.SecretPath); !os.IsNotExist(err) {
		t.Errorf("the certificate is left: %v", err)
	}
}

// txt are the TXT records at a name, and challenges that were left.
func txt(t *testing.T, b *binddev.Server, name string) []dns.RR {
	t.Helper()
	answer, err := dns.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT), b.Address)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Answer
}

func TestCertificatesThatCannotBeHad(t *testing.T) {
	b := binddev.Start(t)
	for name, c := range map[string]struct {
		change func(*Options, *pebble)
		want   string
		code   int
	}{
		"a server that is overloaded": {func(_ *Options, p *pebble) { p.down = true }, "503", exit.TryAgain},
		"a server that is not there":  {func(o *Options, _ *pebble) { o.ACME.Directory = "https://127.0.0.1:1/dir" }, "refused", exit.TryAgain},
		"roots that are not there":    {func(o *Options, _ *pebble) { o.ACME.RootsFile = "absent" }, "read the ACME server's roots", exit.Failed},
		"a proof that nobody can see": {func(o *Options, _ *pebble) { o.ACME.Records = silent{} }, "", exit.Failed},
		"a key that is none":          {func(o *Options, _ *pebble) { o.ACME.AccountKey = o.ACME.RootsFile }, "the key of the ACME account", exit.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPebble(t, b.Address)
			o := atProvider(t, b, p, t.TempDir())
			c.change(&o, p)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := Run(ctx, inFleet("fleet.example.com"), o)
			if exit.Code(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("exit code %d: %v", exit.Code(err), err)
			}
		})
	}
}

// silent publishes nothing.
type silent struct{}

func (silent) Present(context.Context, string, string) error  { return nil }
func (silent) Withdraw(context.Context, string, string) error { return nil }

func TestAPlanAsksNoServer(t *testing.T) {
	b := binddev.Start(t)
	p := startPebble(t, b.Address)
	dir := t.TempDir()
	o := atProvider(t, b, p, dir)
	p.down = true
	var plan strings.Builder
	o.Files = disk.Files{Plan: &plan}
	n := inFleet("fleet.example.com")
	if _, err := Run(t.Context(), n, o); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), n, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"would make the DNS provider answer:\napi.prod.fleet.example.com.", "would obtain a certificate from " + p.directory, "would remove at the DNS provider"} {
		if !strings.Contains(plan.String(), want) {
			t.Errorf("%q is not in\n%s", want, &plan)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if got := txt(t, b, "_hyperfleet."+n.Base()); len(got) != 0 {
		t.Errorf("named: %v", got)
	}
}
