package validation

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	p, err := Load("default.yaml", Default)
	if err != nil {
		t.Fatal(err)
	}
	return p
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

func TestShippedPolicies(t *testing.T) {
	policies := shipped(t)
	for name, c := range map[string]struct {
		patch string
		want  []string // "policy field"
	}{
		"a good spec passes":                     {`{}`, nil},
		"only version and region are required":   {`{"provider":null,"architecture":null,"networking":null,"dns":null,"controlPlane":null,"nodePools":null}`, nil},
		"a missing version":                      {`{"version":null}`, []string{"version-is-semantic /version"}},
		"a missing region":                       {`{"region":null}`, []string{"region-is-known /region"}},
		"a version of two numbers":               {`{"version":"4.16"}`, []string{"version-is-semantic /version"}},
		"a version with a leading zero":          {`{"version":"4.016.3"}`, []string{"version-is-semantic /version"}},
		"a version with something after it":      {`{"version":"4.16.3 "}`, []string{"version-is-semantic /version"}},
		"an unknown region":                      {`{"region":"mars"}`, []string{"region-is-known /region"}},
		"an unknown provider":                    {`{"provider":"acme"}`, []string{"provider-is-known /provider"}},
		"an unknown architecture":                {`{"architecture":"pdp11"}`, []string{"architecture-is-known /architecture"}},
		"no network at all":                      {`{"networking":{"clusterCIDR":"ten"}}`, []string{"cidr-is-valid /networking/clusterCIDR"}},
		"a network with host bits":               {`{"networking":{"machineCIDR":"10.0.0.1/16"}}`, []string{"cidr-is-valid /networking/machineCIDR"}},
		"an IPv6 network":                        {`{"networking":{"clusterCIDR":"fd00::/48","hostPrefix":64}}`, nil},
		"services within the pods' network":      {`{"networking":{"clusterCIDR":"10.128.0.0/14","serviceCIDR":"10.130.0.0/16"}}`, []string{"cidrs-do-not-overlap /networking/serviceCIDR"}},
		"pods within the services' network":      {`{"networking":{"clusterCIDR":"10.130.0.0/16","serviceCIDR":"10.128.0.0/14"}}`, []string{"cidrs-do-not-overlap /networking/serviceCIDR"}},
		"machines within the pods' network":      {`{"networking":{"clusterCIDR":"10.128.0.0/14","machineCIDR":"10.128.0.0/16"}}`, []string{"cidrs-do-not-overlap /networking/machineCIDR"}},
		"machines within the services' network":  {`{"networking":{"serviceCIDR":"172.30.0.0/16","machineCIDR":"172.30.4.0/24"}}`, []string{"cidrs-do-not-overlap /networking/machineCIDR"}},
		"neighbouring networks do not overlap":   {`{"networking":{"clusterCIDR":"10.0.0.0/17","serviceCIDR":"10.0.128.0/17"}}`, nil},
		"a host prefix shorter than its network": {`{"networking":{"clusterCIDR":"10.128.0.0/24","hostPrefix":23}}`, []string{"host-prefix-is-sensible /networking/hostPrefix"}},
		"a host prefix without room":             {`{"networking":{"hostPrefix":31}}`, []string{"host-prefix-is-sensible /networking/hostPrefix"}},
		"a base domain with a space":             {`{"dns":{"baseDomain":"a b.example"}}`, []string{"base-domain-is-a-name /dns/baseDomain"}},
		"a TTL of no time":                       {`{"dns":{"ttl":0}}`, []string{"ttl-is-sensible /dns/ttl"}},
		"an unknown availability":                {`{"controlPlane":{"availability":"Sometimes"}}`, []string{"availability-is-known /controlPlane/availability"}},
		"pools of one name":                      {`{"nodePools":[{"name":"a","replicas":1},{"name":"a","replicas":2}]}`, []string{"node-pool-names-are-unique /nodePools"}},
		"a pool without a name":                  {`{"nodePools":[{"replicas":1}]}`, []string{"node-pool-names-are-valid /nodePools"}},
		"a pool sized twice":                     {`{"nodePools":[{"name":"a","replicas":1,"autoscaling":{"min":1,"max":2}}]}`, []string{"node-pools-are-sized-once /nodePools"}},
		"500 replicas":                           {`{"nodePools":[{"name":"a","replicas":500}]}`, nil},
		"501 replicas":                           {`{"nodePools":[{"name":"a","replicas":501}]}`, []string{"node-pool-replicas-in-range /nodePools"}},
		"replicas below none":                    {`{"nodePools":[{"name":"a","replicas":-1}]}`, []string{"node-pool-replicas-in-range /nodePools"}},
		"half a replica":                         {`{"nodePools":[{"name":"a","replicas":1.5}]}`, []string{"node-total-in-range /nodePools"}},
		"a minimum above the maximum":            {`{"nodePools":[{"name":"a","autoscaling":{"min":3,"max":2}}]}`, []string{"node-pool-autoscaling-in-range /nodePools"}},
		"scaling from nothing":                   {`{"nodePools":[{"name":"a","autoscaling":{"min":0,"max":2}}]}`, nil},
		"more nodes than a cluster may have":     {`{"nodePools":[{"name":"a","replicas":500},{"name":"b","replicas":500},{"name":"c","replicas":500},{"name":"d","autoscaling":{"min":1,"max":500}},{"name":"e","replicas":1}]}`, []string{"node-total-in-range /nodePools"}},
		"a pool without a size is a warning":     {`{"nodePools":[{"name":"a"}]}`, []string{"warn node-pools-have-a-size /nodePools"}},
		"everything wrong at once is all named": {`{"version":"x","region":"y","networking":{"clusterCIDR":"10.0.0.0/8","serviceCIDR":"10.0.0.0/8"}}`,
			[]string{"version-is-semantic /version", "region-is-known /region", "cidrs-do-not-overlap /networking/serviceCIDR"}},
		"a value of another type is refused": {`{"networking":{"clusterCIDR":17}}`, []string{
			"cidr-is-valid /networking/clusterCIDR", "cidrs-do-not-overlap /networking/serviceCIDR", "cidrs-do-not-overlap /networking/machineCIDR"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := policies.Judge(t.Context(), Subject{Cluster: fleet.Resource{Name: "c", Spec: merged(t, c.patch)}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range v.Violations {
				got = append(got, w.Policy+" "+w.Field)
			}
			for _, w := range v.Warnings {
				got = append(got, "warn "+w.Policy+" "+w.Field)
				if strings.Contains(w.Message, "cannot be") {
					t.Errorf("message: %s", w.Message)
				}
			}
			for _, w := range v.Violations {
				if strings.Contains(w.Message, "message cannot be made") {
					t.Errorf("message of %s: %s", w.Policy, w.Message)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s%v", diff, v.Err())
			}
		})
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
	_, err := Load("mine.yaml", []byte(`
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
		if _, err := Load(name, []byte(text)); err == nil {
			t.Errorf("%s loaded", name)
		}
	}
}

func TestExpensivePoliciesEndInTime(t *testing.T) {
	p, err := Load("slow", []byte(`policies: [{id: slow, field: /a, severity: warn, message: m, expression: "spec.l.all(a, spec.l.all(b, spec.l.all(c, spec.l.all(d, true))))"}]`))
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
		pools = append(pools, fmt.Sprintf(`{"name":"p%d","replicas":20}`, i))
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
	p, err := Load("many", []byte("policies:\n"+rules.String()))
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
