package precondition_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/precondition"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var nouns = []string{"cluster", "nodepool"}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func sample() fleet.Resource {
	return fleet.Resource{
		ID: "0190b6a0-0000-7000-8000-000000000001", Kind: "Cluster", Name: "prod-7", Generation: 2,
		Labels: map[string]string{"region": "us-east"},
		Spec:   json.RawMessage(`{"version":"4.17.3","nodePools":[{"name":"w","replicas":3}],"ratio":0.5}`),
		Status: fleet.Status{Phase: fleet.Provisioning, ObservedGeneration: 2, Adapters: []fleet.AdapterStatus{
			{AdapterName: "validation", Phase: fleet.ReportComplete, ObservedGeneration: 2, Attempt: 1, Data: json.RawMessage(`{"policies":4}`)},
			{AdapterName: "dns", Phase: fleet.ReportComplete, ObservedGeneration: 1, Attempt: 1},
			{AdapterName: "placement", Phase: fleet.ReportRunning, ObservedGeneration: 2, Attempt: 1},
		}},
		CreatedAt: fleet.At(now.Add(-time.Hour)),
	}
}

func path(i int) string { return fmt.Sprintf("spec.criteria.preconditions[%d].expression", i) }

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name         string
		dependencies []string
		expressions  []string
		want         string // "" = met
	}{
		{name: "nothing asked is met"},
		{name: "the specification's expression", expressions: []string{"cluster.status.phase != 'Ready'"}},
		{name: "a false expression is named", expressions: []string{"cluster.status.phase == 'Ready'"},
			want: "precondition not met: cluster.status.phase == 'Ready'"},
		{name: "every false expression is named", expressions: []string{"1 > 2", "true", "2 > 3"}, want: "precondition not met: 1 > 2; 2 > 3"},
		{name: "a missing field is not met", expressions: []string{"cluster.spec.provider == 'aws'"},
			want: "precondition not met: cluster.spec.provider == 'aws' (no such key: provider)"},
		{name: "an event about a cluster has no pool", expressions: []string{"!has(nodepool.id)", "nodepool.name == 'a'"},
			want: "precondition not met: nodepool.name == 'a' (no such key: name)"},
		{name: "has guards a missing field", expressions: []string{"!has(cluster.spec.provider)"}},
		{name: "a wrong type is not met", expressions: []string{"cluster.spec.version > 4"},
			want: "precondition not met: cluster.spec.version > 4 (no such overload)"},
		{name: "whole numbers are integers", expressions: []string{"cluster.generation == 2", "cluster.spec.nodePools[0].replicas + 1 == 4", "cluster.spec.ratio < 1.0"}},
		{name: "statuses are the latest reports", expressions: []string{"statuses.validation.phase == 'Complete'", "statuses['validation'].data.policies == 4", "!('hypershift' in statuses)"}},
		{name: "now is a timestamp", expressions: []string{"now - timestamp(cluster.created_at) >= duration('1h')"}},
		{name: "a dependency that is Complete", dependencies: []string{"validation"}},
		{name: "a dependency that is Complete for an older generation", dependencies: []string{"validation", "dns"}, want: "waiting for dns"},
		{name: "every dependency that is missing or Running is named", dependencies: []string{"placement", "validation", "pullsecret"},
			want: "waiting for placement, pullsecret"},
		{name: "dependencies come first", dependencies: []string{"dns"}, expressions: []string{"1 > 2"}, want: "waiting for dns"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := precondition.Compile(tc.dependencies, nouns, tc.expressions, path)
			if err != nil {
				t.Fatal(err)
			}
			v := c.Judge(precondition.Input{Resource: sample(), Documents: map[string]fleet.Resource{"cluster": sample()}, Now: now})
			if v.Met != (tc.want == "") || v.Reason != tc.want {
				t.Errorf("met %t, reason %q; want %q", v.Met, v.Reason, tc.want)
			}
		})
	}
}

func TestAPoolIsJudgedBesideItsCluster(t *testing.T) {
	pool := fleet.Resource{Name: "workers", Generation: 1, Status: fleet.Status{Phase: fleet.Pending, Adapters: []fleet.AdapterStatus{
		{AdapterName: "validation", Phase: fleet.ReportComplete, ObservedGeneration: 1}}}}
	in := precondition.Input{Resource: pool, Documents: map[string]fleet.Resource{"cluster": sample(), "nodepool": pool}, Apart: []string{"dns"}, Now: now}
	expressions := []string{"cluster.name == 'prod-7' && nodepool.name == 'workers'", "statuses.size() == 1",
		"has(nodepool.status) ? nodepool.status.phase != 'Ready' : cluster.status.phase != 'Ready'"}
	c, err := precondition.Compile([]string{"validation", "dns"}, nouns, expressions, path)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Judge(in); !v.Met {
		t.Errorf("not met: %s", v.Reason)
	}
	in.Apart = nil
	if v := c.Judge(in); v.Reason != "waiting for dns" {
		t.Errorf("without it being apart: %q", v.Reason)
	}
}

func TestCompileNamesEveryBadExpressionWithItsPosition(t *testing.T) {
	_, err := precondition.Compile(nil, nouns, []string{
		"true", "cluster.status.phase !=", "clutser.name == 'a'", "cluster.name", "1 + 'a' == 2", strings.Repeat("(", 2000), strings.Repeat("x", 5000),
	}, path)
	if err == nil {
		t.Fatal("no error")
	}
	for i, want := range []string{
		"", "line 1, column 24: Syntax error", "line 1, column 1: undeclared reference to 'clutser'", "gives dyn, must give bool",
		"line 1, column 3: found no matching overload", "", "expression has 5000 bytes",
	} {
		if i > 0 && !strings.Contains(err.Error(), path(i)+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q of expression %d:\n%v", want, i, err)
		}
	}
}

func TestAnExpensiveExpressionIsStopped(t *testing.T) {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 50), ",") + "]"
	source := "true"
	for range 4 { // 50^4 evaluations
		source = fmt.Sprintf("%s.all(x, %s)", list, source)
	}
	c, err := precondition.Compile(nil, nouns, []string{source}, path)
	if err != nil {
		t.Fatal(err)
	}
	v := c.Judge(precondition.Input{Resource: sample(), Documents: map[string]fleet.Resource{"cluster": sample()}, Now: now})
	if v.Met || !strings.Contains(v.Reason, "cost limit exceeded") {
		t.Errorf("verdict %+v", v)
	}
}

func FuzzJudge(f *testing.F) {
	for _, seed := range []string{
		"cluster.status.phase != 'Ready'", "statuses.all(k, statuses[k].phase == 'Complete')", "now > timestamp('2026-01-01T00:00:00Z')",
		"cluster.spec.nodePools.exists(p, p.replicas > 2)", "'a'.matches('(a+)+$')", "[1,2].map(x, [x, x]).size() > 1", "cluster.labels['x'] == ''", "1/0 == 1", "((((",
	} {
		f.Add(seed)
	}
	in := precondition.Input{Resource: sample(), Documents: map[string]fleet.Resource{"cluster": sample()}, Now: now}
	f.Fuzz(func(t *testing.T, source string) {
		c, err := precondition.Compile([]string{"validation"}, nouns, []string{source}, path)
		if err != nil {
			return
		}
		if v := c.Judge(in); v.Met != (v.Reason == "") || len(v.Reason) > 4096 {
			t.Errorf("verdict %+v", v)
		}
	})
}
