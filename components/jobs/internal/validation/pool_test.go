package validation

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestShippedPoliciesOfPools(t *testing.T) {
	policies := shipped(t)
	cluster := fleet.Resource{ID: "c", Name: "prod", Spec: json.RawMessage(passing)}
	for _, c := range []struct {
		name, pool, spec string
		want             []string // "policy field"
	}{
		{"a good pool passes", "extra", `{"instanceType":"m6i.xlarge","replicas":3,"version":"4.16.3"}`, nil},
		{"nothing is required", "extra", `{}`, nil},
		{"a pool may scale by itself", "extra", `{"autoscaling":{"min":0,"max":5}}`, nil},
		{"a name that is too long for machines", strings.Repeat("a", 33), `{"replicas":1}`, []string{"name-is-short /name"}},
		{"a name that the cluster's spec has", "workers", `{"replicas":1}`, []string{"name-is-free /name"}},
		{"sized twice", "extra", `{"replicas":1,"autoscaling":{"min":0,"max":5}}`, []string{"sized-once /replicas"}},
		{"too many", "extra", `{"replicas":501}`, []string{"replicas-in-range /replicas"}},
		{"fewer than none", "extra", `{"replicas":-1}`, []string{"replicas-in-range /replicas"}},
		{"scaling upside down", "extra", `{"autoscaling":{"min":6,"max":5}}`, []string{"autoscaling-in-range /autoscaling"}},
		{"a version that is none", "extra", `{"replicas":1,"version":"latest"}`, []string{"version-is-semantic /version"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := policies.Judge(t.Context(), Subject{Cluster: cluster, NodePool: &fleet.Resource{ID: "p", Name: c.pool, Generation: 2, Spec: json.RawMessage(c.spec)}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, violation := range v.Violations {
				got = append(got, violation.Policy+" "+violation.Field)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if v.Cluster != "c" || v.NodePool != "p" || v.Generation != 2 || v.Policies != 7 {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

func TestAPoolsVerdictIsWrittenWithItsWarnings(t *testing.T) {
	report := filepath.Join(t.TempDir(), "p.json")
	s := Subject{Cluster: fleet.Resource{ID: "c", Name: "prod", Spec: json.RawMessage(passing)}, NodePool: &fleet.Resource{ID: "p", Name: "extra"}}
	message, data, err := Run(t.Context(), shipped(t), s, report, disk.Files{})
	if err != nil || message != "6 policies hold, 1 warn" || len(data.Warnings) != 1 {
		t.Errorf("%q, %+v, %v", message, data, err)
	}
	if text, err := os.ReadFile(report); err != nil || !strings.Contains(string(text), `"nodepool": "p"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestPoliciesOfClustersSeeNoOtherCluster(t *testing.T) {
	const policy = `policies: [{id: a, RESOURCE field: /a, severity: deny, message: m, expression: "cluster.name == name"}]`
	for resource, want := range map[string]string{"": "undeclared reference to 'cluster'", "resource: clusters,": "undeclared reference to 'cluster'",
		"resource: nodepools,": "", "resource: hosts,": `resource "hosts": want clusters or nodepools`} {
		_, err := Load("mine.yaml", []byte(strings.Replace(policy, "RESOURCE", resource, 1)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", resource, err, want)
		}
	}
}
