package hypershift

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var update = flag.Bool("update", false, "write the golden files")

func dependencies() map[string]json.RawMessage {
	return map[string]json.RawMessage{
		"validation": json.RawMessage(`{"policies":1}`),
		"placement":  json.RawMessage(`{"managementCluster":"mc-1","region":"us-east","zone":"us-east-1a","providerRegion":"us-east-1"}`),
		"dns":        json.RawMessage(`{"baseDomain":"a.example","apiHost":"api.prod.a.example","ingressHost":"*.apps.prod.a.example","zoneFile":"z","certificateSecret":"prod-tls"}`),
		"pullsecret": json.RawMessage(`{"secretName":"prod-pull-secret","manifest":"m"}`),
	}
}

func render(spec string) ([]byte, error) {
	c := fleet.Resource{ID: "01900000-0000-7000-8000-000000000001", Name: "prod", Generation: 2, Spec: []byte(spec)}
	text, _, err := Render(c, dependencies(), Options{Namespace: "hyperfleet-default", ReleaseImage: "release.example/{arch}:{version}"})
	return text, err
}

func TestManifests(t *testing.T) {
	for name, spec := range map[string]string{
		"as little as can be": `{"version":"4.16.3","region":"us-east"}`,
		"everything on aws": `{"provider":"aws","region":"us-east","version":"4.16.3","architecture":"arm64",
			"networking":{"clusterCIDR":"10.128.0.0/14","serviceCIDR":"172.30.0.0/16","machineCIDR":"10.0.0.0/16","hostPrefix":24},
			"controlPlane":{"availability":"SingleReplica"},
			"nodePools":[{"name":"workers","instanceType":"m6g.xlarge","replicas":3,"zones":["us-east-1a","us-east-1b"],"labels":{"role":"worker"}},
				{"name":"batch","instanceType":"c6g.xlarge","autoscaling":{"min":0,"max":6}},{"name":"none","replicas":0},{"name":"unsized"}]}`,
		"azure": `{"provider":"azure","region":"us-east","version":"4.17.0","nodePools":[{"name":"w","instanceType":"Standard_D4s_v5","replicas":1}]}`,
		"gcp":   `{"provider":"gcp","region":"us-east","version":"4.17.0","nodePools":[{"name":"w","instanceType":"n2-standard-4","replicas":1}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render(spec)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".yaml")
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
			for _, document := range bytes.Split(got, []byte("---\n")) {
				var o map[string]any
				if err := yaml.UnmarshalStrict(document, &o); err != nil || o["apiVersion"] != apiVersion {
					t.Errorf("%v\n%s", err, document)
				}
			}
		})
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	good := dependencies()
	for name, c := range map[string]struct {
		change func(map[string]json.RawMessage)
		spec   string
		want   string
	}{
		"no placement":   {func(d map[string]json.RawMessage) { delete(d, "placement") }, "", "placement: its data is missing"},
		"no dns":         {func(d map[string]json.RawMessage) { d["dns"] = json.RawMessage("null") }, "", "dns: its data is missing"},
		"no pull secret": {func(d map[string]json.RawMessage) { d["pullsecret"] = nil }, "", "pullsecret: its data is missing"},
		"a placement without zone": {func(d map[string]json.RawMessage) {
			d["placement"] = json.RawMessage(`{"managementCluster":"m","region":"r"}`)
		}, "", "placement: its data lacks zone"},
		"data of another form":    {func(d map[string]json.RawMessage) { d["dns"] = json.RawMessage(`[]`) }, "", "dns: read its data"},
		"no version":              {nil, `{}`, "version: missing in spec"},
		"a provider nobody knows": {nil, `{"version":"4.16.3","provider":"acme"}`, `provider "acme" has no HyperShift platform; those of aws, azure, gcp have one`},
		"nothing at all is all named": {func(d map[string]json.RawMessage) { clear(d) }, `{}`,
			"version: missing in spec; placement: its data is missing; dns: its data is missing; pullsecret: its data is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			d := map[string]json.RawMessage{}
			for k, v := range good {
				d[k] = v
			}
			if c.change != nil {
				c.change(d)
			}
			if c.spec == "" {
				c.spec = `{"version":"4.16.3"}`
			}
			path := filepath.Join(t.TempDir(), "c.yaml")
			_, _, err := Run(fleet.Resource{ID: "x", Name: "c", Spec: []byte(c.spec)}, d, Options{Path: path})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("a manifest was written")
			}
		})
	}
}

func TestNamesMadeFromAClusterAreShortAndItsOwn(t *testing.T) {
	long := fleet.Resource{ID: "01900000-0000-7000-8000-0000000000ab", Name: "a-very-long-name-of-a-cluster-indeed"}
	if got := infraID(long); got != "a-very-long-name-of-000000ab" {
		t.Errorf("got %q", got)
	}
}
