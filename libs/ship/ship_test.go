package ship

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// root of the repository.
const root = "../.."

func sourceAt(root string) Source {
	return Source{Root: root, Version: "v9.8.7", Commit: strings.Repeat("0123456789", 4), Time: time.Unix(1_700_000_000, 0).UTC()}
}

func programNamed(t *testing.T, name string) Program {
	t.Helper()
	programs, err := programsOf([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return programs[0]
}

// made makes an image from a tree, and returns it as it was written.
func made(t *testing.T, root string, p Program) (v1.Image, string) {
	t.Helper()
	out := t.TempDir()
	i := Images{Source: sourceAt(root), Registry: "example.com/fleet", Platforms: []Platform{{"linux", runtime.GOARCH}}, Programs: []Program{p}, Out: out}
	var said bytes.Buffer
	if err := i.Write(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(out, p.Name))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("the layout has not one image: %+v %v", manifest, err)
	}
	descriptor := manifest.Manifests[0]
	want := map[string]string{"org.opencontainers.image.ref.name": "v9.8.7", "io.containerd.image.name": "example.com/fleet/" + p.Name + ":v9.8.7"}
	if diff := cmp.Diff(want, descriptor.Annotations); diff != "" {
		t.Errorf("the names of the image (-want +got):\n%s", diff)
	}
	if line := "example.com/fleet/" + p.Name + ":v9.8.7@" + descriptor.Digest.String() + "\n"; said.String() != line {
		t.Errorf("it said %q, want %q", said.String(), line)
	}
	img, err := index.Image(descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	return img, out
}

// files of an image: path to header and content.
func files(t *testing.T, img v1.Image) map[string]entry {
	t.Helper()
	flat := mutate.Extract(img)
	defer flat.Close()
	all := map[string]entry{}
	for r := tar.NewReader(flat); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[header.Name] = entry{header, content}
	}
}

type entry struct {
	header  *tar.Header
	content []byte
}

// TestTwoBuildsGiveTheSameDigest builds a tree and a copy of it elsewhere, whose
// files are newer and have other modes.
func TestTwoBuildsGiveTheSameDigest(t *testing.T) {
	t.Parallel()
	copied := t.TempDir()
	for _, dir := range []string{"libs/fleet", "libs/service", "components/jobs"} {
		if err := os.CopyFS(filepath.Join(copied, dir), os.DirFS(filepath.Join(root, dir))); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(copied, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	job := programNamed(t, "placement-job")
	one, _ := made(t, root, job)
	other, _ := made(t, copied, job)
	var digests []string
	for _, img := range []v1.Image{one, other} {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("the digests differ: %q", digests)
	}
}

func TestAnImageHoldsWhatItPromisesAndNothingElse(t *testing.T) {
	t.Parallel()
	img, out := made(t, root, programNamed(t, "api"))
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	s := sourceAt(root)
	want := v1.Config{User: "65532:65532", WorkingDir: "/", Entrypoint: []string{"/hyperfleet-api"}, Labels: map[string]string{
		"org.opencontainers.image.title": "HyperFleet API", "org.opencontainers.image.version": "v9.8.7", "org.opencontainers.image.revision": s.Commit,
		"org.opencontainers.image.created": "2023-11-14T22:13:20Z", "org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.vendor": "HyperFleet",
		"org.opencontainers.image.source":        "https://github.com/hyperfleet/hyperfleet",
		"org.opencontainers.image.documentation": "https://github.com/hyperfleet/hyperfleet/blob/main/components/api/README.md",
	}}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if config.OS != "linux" || config.Architecture != runtime.GOARCH || !config.Created.Equal(s.Time) {
		t.Errorf("it is of %s/%s and %s", config.OS, config.Architecture, config.Created)
	}
	all := files(t, img)
	var names []string
	for name, f := range all {
		names = append(names, name)
		if f.header.Uid != 0 || f.header.Gid != 0 || !f.header.ModTime.Equal(s.Time) || f.header.Mode&0o022 != 0 {
			t.Errorf("%s: user %d, group %d, mode %o, of %s", name, f.header.Uid, f.header.Gid, f.header.Mode, f.header.ModTime)
		}
	}
	slices.Sort(names)
	wantNames := []string{"etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt", "hyperfleet-api",
		"usr", "usr/share", "usr/share/sbom", "usr/share/sbom/hyperfleet-api.cdx.json"}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	sbom := all["usr/share/sbom/hyperfleet-api.cdx.json"].content
	if beside, err := os.ReadFile(filepath.Join(out, "api."+runtime.GOARCH+".cdx.json")); err != nil || !bytes.Equal(beside, sbom) {
		t.Errorf("the list of modules beside the layout is not the image's: %v", err)
	}
	judgeProgram(t, all["hyperfleet-api"].content)
	judgeModules(t, sbom)
}

// judgeProgram wants a static program that says its version and commit.
func judgeProgram(t *testing.T, text []byte) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, text, 0o700); err != nil {
		t.Fatal(err)
	}
	read, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	for _, part := range read.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("it needs libraries: %s", part.Type)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	said, err := exec.CommandContext(t.Context(), program, "--version").CombinedOutput()
	if want := "hyperfleet-api version v9.8.7 (012345678901)\n"; err != nil || string(said) != want {
		t.Errorf("--version: %v %q, want %q", err, said, want)
	}
}

// judgeModules wants the list to have this repository's modules at the
// version of the release, and others with Go's checksum.
func judgeModules(t *testing.T, sbom []byte) {
	t.Helper()
	var list struct {
		BOMFormat  string
		Components []struct {
			Name, Version, PURL string
			Properties          []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal(sbom, &list); err != nil || list.BOMFormat != "CycloneDX" {
		t.Fatalf("the list of modules is none: %q %v", list.BOMFormat, err)
	}
	found := map[string]string{}
	for _, c := range list.Components {
		found[c.Name] = c.Version
		if c.Version == "" || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%+v has no version or package URL", c)
		}
		ours := strings.HasPrefix(c.Name, "github.com/hyperfleet/")
		if hasSum := len(c.Properties) == 1 && strings.HasPrefix(c.Properties[0].Value, "h1:"); hasSum == (ours || c.Name == "std") {
			t.Errorf("%s: checksum %v", c.Name, c.Properties)
		}
	}
	if found["github.com/hyperfleet/hyperfleet/libs/fleet"] != "v9.8.7" || found["github.com/lib/pq"] == "" || found["std"] == "" {
		t.Errorf("modules are missing: %v", found)
	}
}

func TestAuthoritiesAreThoseThatAreTrustedWithoutCondition(t *testing.T) {
	t.Parallel()
	text, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("BEGIN CERTIFICATE")); n < 80 {
		t.Errorf("only %d authorities", n)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		t.Error("they cannot be read")
	}
}

// TestDockerfilesMakeTheSame compares what a container engine would make.
func TestDockerfilesMakeTheSame(t *testing.T) {
	t.Parallel()
	for _, p := range Programs() {
		text, err := os.ReadFile(filepath.Join(root, p.Dockerfile()))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range []string{
			"FROM scratch", "USER " + user, `ENTRYPOINT ["` + p.Path + `"]`, "COPY --from=build " + p.Path + " " + p.Path,
			"/" + certificatesPath, "GOWORK=off CGO_ENABLED=0 go build -trimpath", "-X " + stamped + "release=$VERSION", "-X " + stamped + "commit=$COMMIT",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: has no %q", p.Dockerfile(), want)
			}
		}
	}
}

// TestEveryProgramOfTheComponentsIsShipped but the one that runs all in one process.
func TestEveryProgramOfTheComponentsIsShipped(t *testing.T) {
	t.Parallel()
	mains, err := filepath.Glob(filepath.Join(root, "components/*/cmd/*/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(root, "components/hyperfleet/cmd/hyperfleet/main.go")}
	for _, p := range Programs() {
		want = append(want, filepath.Join(root, p.Module, "cmd", p.Command, "main.go"))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, mains); diff != "" {
		t.Errorf("programs (-shipped +there):\n%s", diff)
	}
}

func TestAVersionThatCannotBeATagIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"v1.0.0+x", "a b", "-v1"} {
		if _, err := Find(context.Background(), root, bad); err == nil || !strings.Contains(err.Error(), "such as v2.0.0") {
			t.Errorf("version %q: %v", bad, err)
		}
	}
	s, err := Find(t.Context(), root, "")
	if err != nil || !strings.HasPrefix(s.Commit, strings.TrimPrefix(s.Version, "v0.0.0-")) || s.Time.IsZero() {
		t.Errorf("found %+v %v", s, err)
	}
	for _, bad := range []string{"linux", "darwin/arm64", "linux/", "linux/arm/v7"} {
		if _, err := ParsePlatform(bad); err == nil {
			t.Errorf("platform %q is accepted", bad)
		}
	}
	if _, err := programsOf([]string{"console"}); err == nil || !strings.Contains(err.Error(), "there is api, sentinel") {
		t.Errorf("an unknown image: %v", err)
	}
}
