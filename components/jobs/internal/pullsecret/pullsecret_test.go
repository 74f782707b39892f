package pullsecret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Credentials for "one:x", "two:x" and "three:x".
const one, two, three = `{"auth":"b25lOng="}`, `{"auth":"dHdvOng="}`, `{"username":"three","password":"x"}`

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		files    []string // named f0, f1, …
		want     string
		warnings []string
	}{
		"one file": {[]string{`{"auths":{"r.example":` + one + `}}`}, `{"auths":{"r.example":` + one + `}}`, nil},
		"registries come together in order": {
			[]string{`{"auths":{"s.example":` + one + `}}`, `{"auths":{"r.example": ` + two + `, "t.example":` + three + `}}`},
			`{"auths":{"r.example":` + two + `,"s.example":` + one + `,"t.example":` + three + `}}`, nil},
		"the later one wins, with a warning": {
			[]string{`{"auths":{"r.example":` + one + `}}`, `{"auths":{"r.example":` + two + `}}`},
			`{"auths":{"r.example":` + two + `}}`, []string{"r.example: f1 replaces what f0 says"}},
		"the same twice is no conflict": {
			[]string{`{"auths":{"r.example":` + one + `}}`, `{"auths":{"r.example": {"auth": "b25lOng="} }}`},
			`{"auths":{"r.example":` + one + `}}`, nil},
		"other parts of the form are left out, with a warning": {
			[]string{`{"credsStore":"x","auths":{"r.example":` + one + `}}`},
			`{"auths":{"r.example":` + one + `}}`, []string{"f0: only auths counts, not credsStore"}},
	} {
		t.Run(name, func(t *testing.T) {
			var sources []Source
			for i, f := range c.files {
				sources = append(sources, Source{"f" + string(rune('0'+i)), []byte(f)})
			}
			got, _, warnings, err := Merge(sources)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.warnings, warnings); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryBadSourceIsNamed(t *testing.T) {
	_, _, _, err := Merge([]Source{
		{"shipped", Default},
		{"no-json", []byte(`{`)},
		{"no-auths", []byte(`{}`)},
		{"bad-entries", []byte(`{"auths":{"a.example":{},"b.example":{"auth":"?"},"c.example":7,"d e":` + one + `}}`)},
	})
	for _, want := range []string{"no-json: is no JSON object", "no-auths: auths: want an object", "bad-entries: auths.a.example: holds no credential",
		"auths.b.example: auth: want user:password in base64", "auths.c.example: want an object", "registry 4 in alphabetical order is no host name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestTheSecretHoldsWhatWasMerged(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"team": `{"auths":{"r.example":` + one + `}}`, "mine": `{"auths":{"r.example":` + two + `}}`} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Base: Source{"shipped", Default}, Dir: dir, Path: filepath.Join(dir, "out", "c.yaml"), Shown: "out/c.yaml",
		Secret: manifest.Meta{Name: "c-pull-secret", Namespace: "ns"}}
	message, d, err := Run(fleet.Resource{Spec: []byte(`{"pullSecrets":["team","mine"]}`)}, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Data{"c-pull-secret", "out/c.yaml", []string{"r.example: mine replaces what team says"}}, d); diff != "" {
		t.Error(diff)
	}
	if message != "pull secret holds credentials of 2 registries" {
		t.Error(message)
	}
	text, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := manifest.ParseSecret(text)
	if err != nil || s.Type != "kubernetes.io/dockerconfigjson" || s.Metadata.Name != "c-pull-secret" || s.Metadata.Namespace != "ns" {
		t.Errorf("%v\n%s", err, text)
	}
	got := string(s.Data[".dockerconfigjson"])
	if !strings.Contains(got, `"r.example":`+two) || !strings.Contains(got, `"registry.example.com"`) {
		t.Errorf("merged %s", got)
	}
	if info, err := os.Stat(o.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
