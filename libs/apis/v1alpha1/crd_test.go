package v1alpha1

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/apis/crds"
)

// node is what the tests read of a JSON schema.
type node struct {
	Default    any             `json:"default"`
	Properties map[string]node `json:"properties"`
	Enum       []any           `json:"enum"`
	Required   []string        `json:"required"`
}

// defaulted sets in value what the API server sets where nothing is.
func defaulted(value map[string]any, schema node) {
	for name, within := range schema.Properties {
		if _, has := value[name]; !has && within.Default != nil {
			value[name] = within.Default
		}
		if object, ok := value[name].(map[string]any); ok {
			defaulted(object, within)
		}
	}
}

// definition is what the tests read of a CustomResourceDefinition.
type definition struct {
	Spec struct {
		Names struct {
			Kind                   string
			ShortNames, Categories []string
		} `json:"names"`
		Versions []struct {
			Schema struct {
				OpenAPIV3Schema node `json:"openAPIV3Schema"`
			} `json:"schema"`
			Columns []struct {
				Name, Description string
				Priority          int
			} `json:"additionalPrinterColumns"`
			Subresources map[string]any
		} `json:"versions"`
	} `json:"spec"`
}

func definitions(t *testing.T) map[string]definition {
	files, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]definition{}
	for _, f := range files {
		raw, err := crds.Files.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d definition
		if err := yaml.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		if _, has := d.Spec.Versions[0].Subresources["status"]; !has || !slices.Contains(d.Spec.Names.Categories, "hyperfleet") || len(d.Spec.Names.ShortNames) == 0 {
			t.Errorf("%s: no status subresource, no category hyperfleet, or no short name", f)
		}
		out[d.Spec.Names.Kind] = d
	}
	return out
}

// asObject is v as the API server sees it.
func asObject(t *testing.T, v any) map[string]any {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheAPIServersDefaultsAreOurs(t *testing.T) {
	configs, adapters, err := Decode(strings.NewReader(`
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: a}
spec: {resourceType: clusters, shardSelector: {}, hyperfleetAPI: {url: "http://api"}, broker: {type: stub}}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: a}
spec:
  adapterType: dns
  hyperfleetAPI: {url: "http://api"}
  broker: {type: stub, subscription: dns-sub}
  jobTemplate: {image: x}
  deletion: {jobTemplate: {image: undo}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for kind, got := range map[string]struct {
		written, want any
		into          func(raw []byte) any
	}{
		KindSentinelConfig: {configs[0], configs[0].Defaults(), into[SentinelConfig]},
		KindAdapterConfig:  {adapters[0], adapters[0].Defaults(), into[AdapterConfig]},
	} {
		object := asObject(t, got.written)
		defaulted(object, definitions(t)[kind].Spec.Versions[0].Schema.OpenAPIV3Schema)
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asObject(t, got.want), asObject(t, got.into(raw))); diff != "" {
			t.Errorf("%s (-ours +the API server's):\n%s", kind, diff)
		}
	}
}

func into[T any](raw []byte) any {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	return v
}

func TestSentinelConfigsAreListedWithWhatMatters(t *testing.T) {
	var got []string
	for _, c := range definitions(t)[KindSentinelConfig].Spec.Versions[0].Columns {
		if c.Priority == 0 {
			got = append(got, c.Name)
		}
	}
	if diff := cmp.Diff([]string{"Shard", "Type", "Interval", "Matched", "Pending", "Last Poll", "Ready"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheSchemeKnowsEveryKind(t *testing.T) {
	s := runtime.NewScheme()
	if err := AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	for kind := range definitions(t) {
		for _, k := range []string{kind, kind + "List"} {
			if _, err := s.New(GroupVersion.WithKind(k)); err != nil {
				t.Error(err)
			}
		}
	}
	if APIVersion != GroupVersion.String() {
		t.Errorf("%s is not %s", APIVersion, GroupVersion)
	}
}
