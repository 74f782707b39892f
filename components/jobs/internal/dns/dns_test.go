package dns

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// place is a directory of zones and certificates for one test.
type place struct{ dir string }

func (p place) options(cluster string, now time.Time) Options {
	return Options{ZoneDir: p.dir, AuthorityDir: p.dir, NameServer: "ns1.example", Now: now,
		SecretPath: filepath.Join(p.dir, "tls", cluster+".yaml"), Secret: manifest.Meta{Name: cluster + "-tls", Namespace: "ns"}}
}

func (p place) run(t testing.TB, n Names, now time.Time) error {
	_, err := Run(t.Context(), n, p.options(n.Cluster, now))
	return err
}

func (p place) read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p place) serial(t testing.TB, domain string) uint32 {
	t.Helper()
	z, err := parseZone(domain, []byte(p.read(t, domain+zoneFile)))
	if err != nil {
		t.Fatal(err)
	}
	return z.soa.Serial
}

// pair reads a cluster's certificate and the authority's.
func (p place) pair(t testing.TB, cluster string) (leaf *x509.Certificate, roots *x509.CertPool) {
	t.Helper()
	s, err := manifest.ParseSecret([]byte(p.read(t, "tls/"+cluster+".yaml")))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	if ca := p.read(t, "ca.crt"); ca != string(s.Data["ca.crt"]) || !roots.AppendCertsFromPEM([]byte(ca)) {
		t.Fatal("the Secret's ca.crt is not the authority's")
	}
	if s.Type != "kubernetes.io/tls" {
		t.Errorf("type %s", s.Type)
	}
	return keys.Leaf, roots
}

func names(cluster string) Names {
	return Names{Cluster: cluster, Tenant: "default", Name: "prod", BaseDomain: "a.example", Target: cluster + ".ingress.example", TTL: 300}
}

func TestTheCertificateIsGoodForTheHostsAlone(t *testing.T) {
	p := place{t.TempDir()}
	if err := p.run(t, names("c1"), start); err != nil {
		t.Fatal(err)
	}
	leaf, roots := p.pair(t, "c1")
	for host, good := range map[string]bool{"api.prod.a.example": true, "console.apps.prod.a.example": true,
		"prod.a.example": false, "api.other.a.example": false, "a.b.apps.prod.a.example": false} {
		for at, valid := range map[time.Time]bool{start: true, start.Add(leafLife - time.Second): true, start.Add(leafLife + time.Second): false} {
			_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: at})
			if (err == nil) != (good && valid) {
				t.Errorf("%s at %s: %v", host, at, err)
			}
		}
	}
}

func TestACertificateIsKeptWhileItIsGood(t *testing.T) {
	for name, c := range map[string]struct {
		after  time.Duration
		change func(t *testing.T, p place, n *Names)
		kept   bool
	}{
		"at once":                 {0, nil, true},
		"with 30 days and a bit":  {leafLife - renewBefore - time.Second, nil, true},
		"with less than 30 days":  {leafLife - renewBefore + time.Second, nil, false},
		"after its end":           {2 * leafLife, nil, false},
		"under another base name": {0, func(_ *testing.T, _ place, n *Names) { n.BaseDomain = "b.example" }, false},
		"when the authority is another": {0, func(t *testing.T, p place, _ *Names) {
			for _, f := range []string{"ca.crt", "ca.key"} {
				if err := os.Remove(filepath.Join(p.dir, f)); err != nil {
					t.Fatal(err)
				}
			}
		}, false},
		"when its file is broken": {0, func(t *testing.T, p place, _ *Names) {
			if err := os.WriteFile(filepath.Join(p.dir, "tls", "c1.yaml"), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, n := place{t.TempDir()}, names("c1")
			if err := p.run(t, n, start); err != nil {
				t.Fatal(err)
			}
			before, _ := p.pair(t, "c1")
			if c.change != nil {
				c.change(t, p, &n)
			}
			now := start.Add(c.after)
			if err := p.run(t, n, now); err != nil {
				t.Fatal(err)
			}
			leaf, roots := p.pair(t, "c1")
			if leaf.Equal(before) != c.kept {
				t.Errorf("kept: %v, want %v", leaf.Equal(before), c.kept)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: n.API(), Roots: roots, CurrentTime: now.Add(renewBefore)}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheAuthority(t *testing.T) {
	t.Run("is made once by many jobs at once", func(t *testing.T) {
		p := place{t.TempDir()}
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				n := names(fmt.Sprintf("c%d", i))
				n.Name = n.Cluster
				if err := p.run(t, n, start); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range 8 {
			leaf, roots := p.pair(t, fmt.Sprintf("c%d", i))
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start}); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("renews its certificate with the same key before a leaf outlives it", func(t *testing.T) {
		p := place{t.TempDir()}
		if err := p.run(t, names("c1"), start); err != nil {
			t.Fatal(err)
		}
		crt, key := p.read(t, "ca.crt"), p.read(t, "ca.key")
		late := start.Add(authorityLife - leafLife + time.Second)
		if err := p.run(t, names("c1"), late); err != nil {
			t.Fatal(err)
		}
		if p.read(t, "ca.crt") == crt || p.read(t, "ca.key") != key {
			t.Error("want another certificate of the same key")
		}
		leaf, roots := p.pair(t, "c1")
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: late.Add(leafLife - time.Second)}); err != nil {
			t.Error(err)
		}
	})
	t.Run("finishes after a crash between key and certificate", func(t *testing.T) {
		p := place{t.TempDir()}
		if err := p.run(t, names("c1"), start); err != nil {
			t.Fatal(err)
		}
		key := p.read(t, "ca.key")
		if err := os.Remove(filepath.Join(p.dir, "ca.crt")); err != nil {
			t.Fatal(err)
		}
		if err := p.run(t, names("c1"), start); err != nil || p.read(t, "ca.key") != key {
			t.Errorf("err %v", err)
		}
		p.pair(t, "c1")
	})
	t.Run("says what to do when its key is lost, and quotes no key", func(t *testing.T) {
		p := place{t.TempDir()}
		if err := p.run(t, names("c1"), start); err != nil {
			t.Fatal(err)
		}
		key := filepath.Join(p.dir, "ca.key")
		if err := os.WriteFile(key, []byte("my-private-key"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.run(t, names("c1"), start); err == nil || strings.Contains(err.Error(), "my-private-key") {
			t.Errorf("got %v", err)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		if err := p.run(t, names("c1"), start); err == nil || !strings.Contains(err.Error(), "restore ca.key, or remove ca.crt") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheSerialRisesExactlyWithAChange(t *testing.T) {
	p, n := place{t.TempDir()}, names("c1")
	for step, c := range []struct {
		change func()
		want   uint32
	}{
		{func() {}, 1},
		{func() {}, 1},
		{func() { n.TTL = 60 }, 2},
		{func() {}, 2},
		{func() { n.Target = "else.ingress.example" }, 3},
		{func() { n.Cluster = "c2" }, 4}, // the same tenant's next cluster of that name
		{func() { n.Cluster, n.Name = "c3", "other" }, 5},
	} {
		c.change()
		if err := p.run(t, n, start); err != nil {
			t.Fatal(err)
		}
		if got := p.serial(t, n.BaseDomain); got != c.want {
			t.Errorf("step %d: serial %d, want %d", step, got, c.want)
		}
	}
}

func TestNamesBelongToOneTenant(t *testing.T) {
	p := place{t.TempDir()}
	if err := p.run(t, names("c1"), start); err != nil {
		t.Fatal(err)
	}
	before := p.read(t, "a.example.zone")
	n := names("c2")
	n.Tenant = "other"
	if err := p.run(t, n, start); err == nil || !strings.Contains(err.Error(), "prod.a.example belongs to a cluster of another tenant") {
		t.Errorf("got %v", err)
	}
	if p.read(t, "a.example.zone") != before {
		t.Error("the zone changed")
	}
	if _, err := os.Stat(filepath.Join(p.dir, "tls", "c2.yaml")); err == nil {
		t.Error("a certificate was issued")
	}
}

func TestAnotherBaseDomainTakesTheOldNamesAway(t *testing.T) {
	p, n, other := place{t.TempDir()}, names("c1"), names("c2")
	other.Name = "stays"
	for _, n := range []Names{n, other} {
		if err := p.run(t, n, start); err != nil {
			t.Fatal(err)
		}
	}
	n.BaseDomain = "b.example"
	if err := p.run(t, n, start); err != nil {
		t.Fatal(err)
	}
	old := p.read(t, "a.example.zone")
	if strings.Contains(old, "prod.a.example") || strings.Count(old, "stays.a.example.") != 3 || p.serial(t, "a.example") != 3 {
		t.Errorf("the old zone:\n%s", old)
	}
	if !strings.Contains(p.read(t, "b.example.zone"), "api.prod.b.example.") {
		t.Error("the new zone has no record")
	}
}

func TestRecordsOfPeopleStay(t *testing.T) {
	p := place{t.TempDir()}
	mine := "$TTL 60\n@ IN SOA ns hostmaster 4294967295 1 2 3 4\n@ NS ns\nns A 192.0.2.1\nwww CNAME ns\n"
	file := filepath.Join(p.dir, "a.example.zone")
	if err := os.WriteFile(file, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.run(t, names("c1"), start); err != nil {
		t.Fatal(err)
	}
	z := p.read(t, "a.example.zone")
	for _, want := range []string{"ns.a.example.\t60\tIN\tA\t192.0.2.1", "www.a.example.\t60\tIN\tCNAME\tns.a.example.", "api.prod.a.example.\t300\tIN\tCNAME\tc1.ingress.example."} {
		if !strings.Contains(z, want) {
			t.Errorf("%q is not in\n%s", want, z)
		}
	}
	if got := p.serial(t, "a.example"); got != 0 {
		t.Errorf("serial %d, want 0 after the greatest", got)
	}
}

func TestABadZoneFileIsLeftAsItIs(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no zone file":              {"hello there, this is\n", "a.example.zone"},
		"no SOA":                    {"@ 60 IN NS ns\n", "no SOA record"},
		"no NS":                     {"@ 60 IN SOA ns hm 1 1 2 3 4\n", "no NS record"},
		"two SOAs":                  {"@ 60 IN SOA ns hm 1 1 2 3 4\n@ 60 IN SOA ns hm 1 1 2 3 4\n", "more than one SOA"},
		"a foreign record":          {"@ 60 IN SOA ns hm 1 1 2 3 4\n@ 60 NS ns\nwww.b.example. 60 A 192.0.2.1\n", "outside of the zone"},
		"a CNAME beside others":     {"@ 60 IN SOA ns hm 1 1 2 3 4\n@ 60 NS ns\nx 60 CNAME ns\nx 60 A 192.0.2.1\n", "has a CNAME and something else"},
		"a person's own api record": {"@ 60 IN SOA ns hm 1 1 2 3 4\n@ 60 NS ns\napi.prod 60 A 192.0.2.1\n", "none of a cluster's"},
	} {
		t.Run(name, func(t *testing.T) {
			p := place{t.TempDir()}
			if err := os.WriteFile(filepath.Join(p.dir, "a.example.zone"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := p.run(t, names("c1"), start); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := p.read(t, "a.example.zone"); got != c.text {
				t.Errorf("the file is now\n%s", got)
			}
		})
	}
}

func TestAZoneReadsBackAsItWasWritten(t *testing.T) {
	z := newZone("a.example", "ns1.example")
	for i := range 50 {
		n := names(fmt.Sprintf("c%d", i))
		n.Name = n.Cluster
		if _, err := z.put(n); err != nil {
			t.Fatal(err)
		}
	}
	again, err := parseZone("a.example", z.text())
	if err != nil || !bytes.Equal(again.text(), z.text()) {
		t.Errorf("%v\n%s", err, z.text())
	}
}
