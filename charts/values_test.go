package charts

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/charts/render"
)

// TestWrongValuesAreRefusedWithTheReason holds `helm install` to saying what is
// wrong, all of it, before anything is created.
func TestWrongValuesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	hub, region := "hyperfleet/values/hub.yaml", "hyperfleet/values/regions/us-east.yaml"
	for name, c := range map[string]struct {
		arguments []string
		want      []string
	}{
		"no role":                   {nil, []string{"/role", "'hub', 'region', 'all-in-one'"}},
		"two typing errors":         {[]string{"-f", hub, "--set", "api.replica=3,api.database.secret.nam=x"}, []string{"/api", "'replica'", "/api/database/secret", "'nam'"}},
		"a port that is none":       {[]string{"-f", hub, "--set", "api.service.port=70000"}, []string{"/api/service/port", "got 70,000"}},
		"no replicas":               {[]string{"-f", hub, "--set", "api.replicas=0"}, []string{"/api/replicas", "got 0, want 1"}},
		"a password in a URL":       {[]string{"-f", region, "--set", "broker.rabbitmq.url=amqps://me:secret@rabbit/x"}, []string{"/broker/rabbitmq/url"}},
		"an ingress without a host": {[]string{"-f", hub, "--set", "api.ingress.host="}, []string{"/api/ingress/host"}},
		"another broker":            {[]string{"-f", region, "--set", "broker.type=kafka"}, []string{"/broker/type", "'gcp-pubsub', 'rabbitmq'"}},
		"a duration without a unit": {[]string{"-f", region, "--set-string", "sentinel.configs.cluster-sentinel.pollInterval=5"}, []string{"/sentinel/configs/cluster-sentinel", "pollInterval"}},
		"a region without a name, and no project": {[]string{"--set", "role=region"},
			[]string{"region.name: name the region", "broker.gcpPubsub.projectID: name the project"}},
		"nobody who may do anything": {[]string{"--set", "role=hub"}, []string{"api.auth: nobody may do anything"}},
		"nobody who is trusted": {[]string{"--set", "role=all-in-one,api.auth.kubernetes.enabled=false,broker.type=rabbitmq"},
			[]string{"trust one issuer at least", `issuer "https://kubernetes.default.svc.cluster.local"`}},
		"a region of an issuer that is not trusted": {[]string{"-f", hub, "--set", "api.auth.regions[0].name=a,api.auth.regions[0].namespace=b,api.auth.regions[0].issuer=https://other"},
			[]string{`issuer "https://other"`, `"a" is not trusted`}},
		"a dependency that is not there":   {[]string{"-f", region, "--set", "adapters.dns.dependencies={nobody}"}, []string{`adapters.dns.dependencies: there is no adapter "nobody"`}},
		"a dependency that was taken away": {[]string{"-f", region, "--set", "adapters.placement=null"}, []string{`adapters.hypershift.dependencies: there is no adapter "placement"`}},
		"an adapter without an image":      {[]string{"-f", region, "--set", "adapters.extra.job.args={a}"}, []string{"/adapters/extra", "image"}},
		"two who scale":                    {[]string{"-f", region, "--set", "keda.enabled=true,adapter.autoscaling.enabled=true"}, []string{"keda.enabled, adapter.autoscaling.enabled"}},
		"servers that nobody uses": {[]string{"-f", region, "--set", "dev.postgresql.enabled=true,dev.rabbitmq.enabled=true"},
			[]string{"dev.postgresql.enabled: a region has no database", "dev.rabbitmq.enabled: set broker.type"}},
	} {
		for _, helm := range helms {
			t.Run(name+", "+helm, func(t *testing.T) {
				t.Parallel()
				_, err := render.Chart(t.Context(), tool(t, helm), "hyperfleet", c.arguments...)
				if err == nil {
					t.Fatal("it is rendered")
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in: %v", want, err)
					}
				}
			})
		}
	}
}

// free are the keys below which everything is allowed: Kubernetes judges it, or
// nobody knows the names.
var free = []string{"annotations", "serviceAccountAnnotations", "podAnnotations", "nodeSelector", "affinity", "requests", "limits",
	"metricsFrom", "labels", "dashboardLabels", "matchLabels"}

// TestEveryKeyIsKnown puts a key that means nothing into every map of the values.
func TestEveryKeyIsKnown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("hyperfleet/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	var typos []string
	var walk func(path string, m map[string]any)
	walk = func(path string, m map[string]any) {
		typos = append(typos, path+"tpyo=1")
		for _, key := range slices.Sorted(maps.Keys(m)) {
			inner, isMap := m[key].(map[string]any)
			if !isMap || slices.Contains(free, key) && path+key != "api.auth.limits" {
				continue
			}
			walk(path+key+".", inner)
		}
	}
	walk("", values)
	for _, typo := range typos {
		_, err := render.Chart(t.Context(), tool(t, "helm"), "hyperfleet", "-f", "hyperfleet/values/all-in-one.yaml", "--set", typo)
		if err == nil || !strings.Contains(err.Error(), "tpyo") {
			t.Errorf("--set %s: %v", typo, err)
		}
	}
	if len(typos) < 50 {
		t.Errorf("only %d maps were tried", len(typos))
	}
}
