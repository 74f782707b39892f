package validation

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestAPoolsVerdictIsWrittenWithItsWarnings(t *testing.T) {
	report := filepath.Join(t.TempDir(), "p.json")
	s := Subject{Cluster: fleet.Resource{ID: "c", Name: "prod", Spec: json.RawMessage(passing)}, NodePool: &fleet.Resource{ID: "p", Name: "extra"}}
	message, data, err := Run(t.Context(), shipped(t), s, report, disk.Files{})
	if err != nil || message != "9 policies hold, 1 warn" || len(data.Warnings) != 1 {
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
		_, err := Compile(one("mine.yaml", strings.Replace(policy, "RESOURCE", resource, 1)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", resource, err, want)
		}
	}
}
