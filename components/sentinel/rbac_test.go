package sentinel

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

// use is one request of the audit log: what was done, and whether it was allowed.
type use struct {
	what    string // "patch sentinelconfigs/status"
	allowed bool
}

// uses returns what an account asked of objects, by what it was answered.
func (c cluster) uses(t *testing.T, account string) map[use]bool {
	t.Helper()
	f, err := os.Open(c.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[use]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e struct {
			Verb string
			User struct{ Username string }
			// Discovery has none.
			ObjectRef      *struct{ Resource, Subresource string }
			ResponseStatus struct{ Code int }
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.ObjectRef == nil || e.User.Username != c.User(account) {
			continue // the last line may be half written
		}
		resource := strings.TrimSuffix(e.ObjectRef.Resource+"/"+e.ObjectRef.Subresource, "/")
		out[use{e.Verb + " " + resource, e.ResponseStatus.Code != 403}] = true
	}
	return out
}

func TestTheOperatorUsesItsWholeRoleAndNothingElse(t *testing.T) {
	c := kubernetes(t)
	c.Apply(t, []byte(shardA))
	r := c.operator(t, c.As(t, account))
	c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	for range 2 { // an event that happens again is patched
		r.outage.set(answer(500, "application/problem+json", `{"type":"about:blank","title":"x","status":500,"detail":"x","code":"internal","request_id":"1"}`))
		c.eventually(t, "a", v1alpha1.ConditionReady, "False APIUnreachable")
		r.outage.set(nil)
		c.eventually(t, "a", v1alpha1.ConditionReady, "True Polling")
	}
	eventually(t, "the event is counted", func() bool { return c.uses(t, account)[use{"patch events", true}] })
	r.stop()

	var role rbacv1.Role
	if err := yaml.Unmarshal(read(t, "rbac/role.yaml"), &role); err != nil {
		t.Fatal(err)
	}
	granted, used := map[string]bool{}, map[string]bool{}
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				granted[verb+" "+resource] = true
			}
		}
	}
	for u := range c.uses(t, account) {
		if !u.allowed {
			t.Errorf("refused: %s", u.what)
		}
		used[u.what] = true
		if resource, ok := strings.CutPrefix(u.what, "watch "); ok {
			used["list "+resource] = true // what a watch begins with where the API server does not stream the beginning
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(granted)), slices.Sorted(maps.Keys(used))); diff != "" {
		t.Errorf("(-granted +used):\n%s", diff)
	}
}

func TestWithoutOneOfItsRulesTheOperatorIsRefused(t *testing.T) {
	for _, refused := range []string{"watch sentinelconfigs", "patch sentinelconfigs/status", "create leases"} {
		t.Run(refused, func(t *testing.T) {
			t.Parallel()
			c := kubernetes(t)
			verb, resource, _ := strings.Cut(refused, " ")
			var role rbacv1.Role
			if err := yaml.Unmarshal(read(t, "rbac/role.yaml"), &role); err != nil {
				t.Fatal(err)
			}
			for i, rule := range role.Rules {
				if slices.Contains(rule.Resources, resource) {
					role.Rules[i].Verbs = slices.DeleteFunc(rule.Verbs, func(v string) bool {
						return v == verb || verb == "watch" && v == "list" // which stands in for a watch, and a moment later
					})
				}
			}
			role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return len(r.Verbs) == 0 })
			raw, err := yaml.Marshal(role)
			if err != nil {
				t.Fatal(err)
			}
			c.Apply(t, raw, []byte(shardA))
			c.operator(t, c.As(t, account))
			eventually(t, "the API server refuses", func() bool { return c.uses(t, account)[use{refused, false}] })
			if s := c.get(t, "a"); len(s.Status.Conditions) != 0 {
				t.Errorf("the status was written all the same: %v", s.Status.Conditions)
			}
		})
	}
}
