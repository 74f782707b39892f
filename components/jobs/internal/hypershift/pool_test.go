package hypershift

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestManifestsOfPools(t *testing.T) {
	const spec = `{"provider":"aws","version":"4.16.3","architecture":"arm64"}`
	for _, c := range []struct {
		name, cluster, pool string
		want                string // in the error; "" = a golden file
	}{
		{"pool", spec, `{"instanceType":"m6g.xlarge","replicas":3,"zones":["us-east-1a"],"labels":{"role":"worker"}}`, ""},
		{"pool-with-a-version", spec, `{"autoscaling":{"min":1,"max":4},"version":"4.15.9"}`, ""},
		{"no version", `{"provider":"aws"}`, `{}`, "version: missing"},
		{"a provider nobody knows", `{"provider":"acme","version":"4.16.3"}`, `{}`, `provider "acme" has no HyperShift platform`},
		{"a pool of another form", spec, `[]`, "read spec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := fleet.Resource{ID: "01900000-0000-7000-8000-000000000001", Name: "prod", Generation: 2, Spec: []byte(c.cluster)}
			pool := fleet.Resource{ID: "01900000-0000-7000-8000-000000000002", Name: "extra", Generation: 5, Spec: []byte(c.pool)}
			path := filepath.Join(t.TempDir(), "p.yaml")
			_, _, err := RunPool(cluster, pool, Options{Namespace: "hyperfleet-default", ReleaseImage: "release.example/{arch}:{version}", Path: path})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", c.name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got (go test -update writes it):\n%s", diff)
			}
		})
	}
}
