package validation

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const passing = `{"provider":"aws","region":"us-east","version":"4.16.3","architecture":"amd64",
 "networking":{"clusterCIDR":"10.128.0.0/14","serviceCIDR":"172.30.0.0/16","machineCIDR":"10.0.0.0/16","hostPrefix":23},
 "dns":{"baseDomain":"clusters.example.com","ttl":300},"controlPlane":{"availability":"HighlyAvailable"},
 "nodePools":[{"name":"workers","replicas":3},{"name":"batch","autoscaling":{"min":1,"max":6}}]}`

// shipped compiles the shipped policies.
func shipped(t *testing.T) *Policies {
	t.Helper()
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// one is a bundle of one file of policies.
func one(name, text string) Bundle {
	return Bundle{name, map[string][]byte{"policies.yaml": []byte(text)}}
}

// merged returns the passing spec with a merge patch applied at its top level.
func merged(t *testing.T, patch string) json.RawMessage {
	t.Helper()
	var spec, change map[string]any
	for text, to := range map[string]*map[string]any{passing: &spec, patch: &change} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range change {
		if spec[k] = v; v == nil {
			delete(spec, k)
		}
	}
	out, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheShippedBundlePassesItsTests(t *testing.T) {
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	report, err := Test(t.Context(), b, &out)
	if err != nil || report.Failed > 0 || report.Tests < 60 || len(report.Unused) > 0 {
		t.Errorf("%+v, %v\n%s", report, err, &out)
	}
}

func TestTheErrorNamesEveryPolicyWithItsField(t *testing.T) {
	c := fleet.Resource{ID: "c1", Generation: 3, Spec: merged(t, `{"version":"4","networking":{"clusterCIDR":"10.128.0.0/14","serviceCIDR":"10.130.0.0/16"}}`)}
	report := filepath.Join(t.TempDir(), "validation", "c1.json")
	_, _, err := Run(t.Context(), shipped(t), Subject{Cluster: c}, report, disk.Files{})
	want := "2 policies violated: version-is-semantic at /version: want a version such as 4.16.3; " +
		"cidrs-do-not-overlap at /networking/serviceCIDR: 10.130.0.0/16 overlaps clusterCIDR 10.128.0.0/14"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var v Verdict
	if err := json.Unmarshal(text, &v); err != nil || len(v.Violations) != 2 || v.Generation != 3 {
		t.Errorf("report %s: %v", text, err)
	}
}

func TestExamples(t *testing.T) {
	for file, want := range map[string]string{
		"cluster.json":            "",
		"cluster-bad-policy.json": "cidrs-do-not-overlap at /networking/",
	} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("../../../../docs/examples/" + file)
			if err != nil {
				t.Fatal(err)
			}
			var c fleet.Resource
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			_, d, err := Run(t.Context(), shipped(t), Subject{Cluster: c}, filepath.Join(t.TempDir(), "c.json"), disk.Files{})
			if want == "" && (err != nil || len(d.Warnings) != 0) {
				t.Errorf("got %v, warnings %v", err, d.Warnings)
			}
			if want != "" && (err == nil || !strings.HasPrefix(err.Error(), "1 policy violated: "+want)) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestABadPolicyFileNamesEveryProblem(t *testing.T) {
	_, err := Compile(one("mine.yaml", `
lists: {spec: [a], regions: [b]}
policies:
- {id: Bad Id, field: version, severity: perhaps, expression: "true"}
- {id: typo, field: /region, severity: deny, message: m, expression: "spec.region in\n  regoins"}
- {id: number, field: /region, severity: deny, message: m, expression: "1 + 1"}
- {id: dynamic, field: /region, severity: deny, message: m, expression: "spec.region"}
- {id: twice, field: /a, severity: deny, message: m, expression: "true"}
- {id: twice, field: /a, severity: warn, message: m, expression: "true"}
`))
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{"mine.yaml", "lists.spec", "policies[0] Bad Id: id:", "policies[0] Bad Id: field \"version\"",
		"severity \"perhaps\"", "one of message and messageExpression",
		"policies[1] typo: expression: line 2, column 3: undeclared reference to 'regoins'",
		"policies[2] number: expression: gives int, want bool", "policies[3] dynamic: expression: gives dyn",
		"policies[5] twice: the same id and field"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	for name, text := range map[string]string{"an unknown key": "polices: []", "no policies": "lists: {}"} {
		if _, err := Compile(one(name, text)); err == nil {
			t.Errorf("%s loaded", name)
		}
	}
}

func TestExpensivePoliciesEndInTime(t *testing.T) {
	p, err := Compile(one("slow", `policies: [{id: slow, field: /a, severity: warn, message: m, expression: "spec.l.all(a, spec.l.all(b, spec.l.all(c, spec.l.all(d, true))))"}]`))
	if err != nil {
		t.Fatal(err)
	}
	c := fleet.Resource{Spec: json.RawMessage(`{"l":[` + strings.Repeat("1,", 999) + `1]}`)}
	v, err := p.Judge(t.Context(), Subject{Cluster: c})
	if err != nil || len(v.Violations) != 1 || !strings.Contains(v.Violations[0].Message, "cost limit") {
		t.Errorf("got %+v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Judge(ctx, Subject{Cluster: c}); err == nil {
		t.Error("judged after the context had ended")
	}
}

func TestAHundredPoolsAreJudged(t *testing.T) {
	var pools []string
	for i := range 100 {
		pools = append(pools, fmt.Sprintf(`{"name":"p%d","replicas":5}`, i))
	}
	c := fleet.Resource{Name: "c", Spec: merged(t, `{"nodePools":[`+strings.Join(pools, ",")+`]}`)}
	if v, err := shipped(t).Judge(t.Context(), Subject{Cluster: c}); err != nil || v.Err() != nil {
		t.Errorf("%v, %v", err, v.Err())
	}
	pools[99] = pools[0]
	c.Spec = merged(t, `{"nodePools":[`+strings.Join(pools, ",")+`]}`)
	v, err := shipped(t).Judge(t.Context(), Subject{Cluster: c})
	if want := "1 policy violated: node-pool-names-are-unique at /nodePools: more than one pool is named p0"; err != nil || v.Err() == nil || v.Err().Error() != want {
		t.Errorf("%v, %v", err, v.Err())
	}
}

func TestWarningsFitATerminationLog(t *testing.T) {
	var rules strings.Builder
	for i := range 30 {
		rules.WriteString("- {id: w" + strings.Repeat("x", i+1) + ", field: /a, severity: warn, expression: 'false', message: " + strings.Repeat("ü", 3000) + "}\n")
	}
	p, err := Compile(one("many", "policies:\n"+rules.String()))
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := Run(t.Context(), p, Subject{}, filepath.Join(t.TempDir(), "r.json"), disk.Files{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil || len(text) > 3000 || d.Warnings[maxWarnings] != "and 22 more" {
		t.Errorf("%d bytes: %s, %v", len(text), text, err)
	}
}
