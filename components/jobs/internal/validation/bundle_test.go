package validation

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// pack is the shipped bundle as an archive.
func pack(t *testing.T) []byte {
	t.Helper()
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w := zip.NewWriter(&text)
	for name, content := range b.Files {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func TestABundleIsFetchedAndCompared(t *testing.T) {
	archive := pack(t)
	single := []byte("policies: [{id: a, field: /a, severity: deny, message: m, expression: 'true'}]")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bundle.zip":
			_, _ = w.Write(archive)
		case "/bundle.yaml":
			_, _ = w.Write(single)
		case "/large":
			_, _ = w.Write(make([]byte, maxBundle+1))
		case "/away":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	gone := httptest.NewServer(nil)
	gone.Close()
	defer server.Close()
	sum := func(data []byte) string { return fmt.Sprintf("#sha256=%x", sha256.Sum256(data)) }
	for name, c := range map[string]struct {
		source string
		want   string // in the error
		code   int
	}{
		"an archive":                    {server.URL + "/bundle.zip" + sum(archive), "", exit.Done},
		"one file":                      {server.URL + "/bundle.yaml" + sum(single), "", exit.Done},
		"another checksum":              {server.URL + "/bundle.zip" + sum(single), fmt.Sprintf("its checksum is sha256=%x", sha256.Sum256(archive)), exit.Failed},
		"no checksum":                   {server.URL + "/bundle.zip", "want its checksum", exit.Failed},
		"half a checksum":               {server.URL + "/bundle.zip#sha256=abcd", "want its checksum", exit.Failed},
		"a file that is not there":      {server.URL + "/absent" + sum(archive), "404", exit.Failed},
		"a file that is too large":      {server.URL + "/large" + sum(archive), "larger than", exit.Failed},
		"a server that is overloaded":   {server.URL + "/away" + sum(archive), "503", exit.TryAgain},
		"a server that is not there":    {gone.URL + "/bundle.zip" + sum(archive), "refused", exit.TryAgain},
		"a directory that is not there": {filepath.Join(t.TempDir(), "absent"), "no such file", exit.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Open(t.Context(), server.Client(), c.source)
			if err == nil {
				_, err = Compile(b)
			}
			if exit.Code(err) != c.code || c.want != "" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("exit code %d: %v", exit.Code(err), err)
			}
		})
	}
}

// TestAMountedConfigMapIsABundle has its files behind links, as Kubernetes
// mounts them.
func TestAMountedConfigMapIsABundle(t *testing.T) {
	dir := t.TempDir()
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	current := filepath.Join(dir, "..2026_01_02")
	for _, step := range []error{os.Mkdir(current, 0o750), os.Symlink("..2026_01_02", filepath.Join(dir, "..data"))} {
		if step != nil {
			t.Fatal(step)
		}
	}
	for name, text := range b.Files {
		if err := os.WriteFile(filepath.Join(current, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	mounted, err := Open(t.Context(), nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Test(t.Context(), mounted, os.Stderr)
	if err != nil || report.Tests < 60 || report.Failed > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestATestOfABundleCanFail(t *testing.T) {
	b := Bundle{"mine", map[string][]byte{
		"p.yaml": []byte(`
policies:
- {id: has-owner, field: /labels, severity: deny, message: want an owner, docs: "https://example.com/owner", expression: "'owner' in labels"}
- {id: is-small, match: "env in (dev)", field: /replicas, severity: warn, message: too large, expression: "spec.replicas < 3"}
- {id: never, field: /a, severity: deny, messageExpression: "spec.b", expression: "!has(spec.b)"}
`),
		"p.test.yaml": []byte(`
base: {clusters: {labels: {env: dev, owner: me}, spec: {replicas: 1}}}
tests:
- {name: passes}
- {name: is denied, input: {labels: {owner: null}}, deny: [has-owner /labels]}
- {name: is not denied, deny: [has-owner /labels]}
- {name: warns, input: {spec: {replicas: 3}}}
- {name: other labels are not judged, input: {labels: {env: prod}, spec: {replicas: 3}}}
`)}}
	if _, err := Compile(b); err == nil || !strings.Contains(err.Error(), "p.yaml: policies[2] never: messageExpression: gives dyn") {
		t.Fatalf("compiled: %v", err)
	}
	b.Files["p.yaml"] = bytes.Replace(b.Files["p.yaml"], []byte(`messageExpression: "spec.b"`), []byte(`messageExpression: "string(spec.b.c)"`), 1)
	var out strings.Builder
	report, err := Test(t.Context(), b, &out)
	if err != nil || report.Tests != 5 || report.Failed != 2 || strings.Join(report.Unused, ",") != "clusters never" {
		t.Errorf("%+v, %v", report, err)
	}
	for _, want := range []string{"is not denied\n  does not deny has-owner /labels", "warns\n  warns of is-small /replicas: too large"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	p, err := Compile(b)
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Judge(t.Context(), Subject{Cluster: fleet.Resource{Spec: json.RawMessage(`{}`)}})
	if want := "has-owner at /labels: want an owner (see https://example.com/owner)"; err != nil || len(v.Violations) != 1 || v.Violations[0].String() != want {
		t.Errorf("%+v, %v", v, err)
	}
}

// BenchmarkTenThousandPolicies judges one cluster, from the bundle's text on.
func BenchmarkTenThousandPolicies(b *testing.B) {
	var text strings.Builder
	text.WriteString("policies:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "- {id: p-%d, field: /nodePools, severity: deny, message: m, expression: \"spec.?nodePools.orValue([]).all(p, p.?replicas.orValue(0) <= %d)\"}\n", i, 500+i)
	}
	bundle := one("many", text.String())
	c := fleet.Resource{Name: "c", Spec: json.RawMessage(passing)}
	p, err := Compile(bundle)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if _, err := Compile(bundle); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("judge", func(b *testing.B) {
		for b.Loop() {
			if v, err := p.Judge(b.Context(), Subject{Cluster: c}); err != nil || v.Err() != nil {
				b.Fatal(err, v.Err())
			}
		}
	})
}
