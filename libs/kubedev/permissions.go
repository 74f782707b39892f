package kubedev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// auditPatience is how long the audit log may lag behind the answers.
const auditPatience = 10 * time.Second

// Permission is something that somebody did, or may do.
type Permission struct {
	Verb, Group string
	Resource    string // with its subresource, as in rules: "jobs/status"
}

func (p Permission) String() string {
	if p.Group == "" {
		return p.Verb + " " + p.Resource
	}
	return p.Verb + " " + p.Resource + "." + p.Group
}

// CheckPermissions fails t unless a service account of the test's namespace did
// all that it may, and tried nothing else: a role that grants more than is used
// is found, and so is one that lacks what a path of the code needs.
func (c *Cluster) CheckPermissions(t testing.TB, account string) {
	t.Helper()
	granted := c.Granted(t, account)
	ctx, cancel := context.WithTimeout(context.Background(), auditPatience)
	defer cancel()
	for {
		undeclared, unused := compare(c.Used(t, account), granted)
		if len(undeclared) == 0 && len(unused) > 0 && wait(ctx) {
			continue
		}
		if len(undeclared) > 0 {
			t.Errorf("%s asked for what no role of its own grants: %v", account, undeclared)
		}
		if len(unused) > 0 {
			t.Errorf("%s is granted what it did not use: %v", account, unused)
		}
		return
	}
}

// compare returns what was used and not granted, and what was granted and not
// used. A wildcard stands for nothing but itself: a role should name what it means.
func compare(used, granted []Permission) (undeclared, unused []Permission) {
	without := func(all, others []Permission) []Permission {
		return slices.DeleteFunc(slices.Clone(all), func(p Permission) bool { return slices.Contains(others, p) })
	}
	return without(used, granted), without(granted, used)
}

// Used returns what a service account of the test's namespace asked the API
// server for until now, refused requests included, sorted and without what every
// user may: discovery, and questions about itself.
func (c *Cluster) Used(t testing.TB, account string) []Permission {
	t.Helper()
	text, err := os.ReadFile(c.AuditLog())
	if err != nil {
		t.Fatalf("read the audit log: %v", err)
	}
	var used []Permission
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written
		}
		var event struct {
			Verb      string
			User      struct{ Username string }
			ObjectRef *struct{ APIGroup, Resource, Subresource string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("read the audit log: %v", err)
		}
		if event.ObjectRef == nil || event.User.Username != c.User(account) || strings.HasPrefix(event.ObjectRef.Resource, "selfsubject") {
			continue
		}
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		used = append(used, Permission{Verb: event.Verb, Group: event.ObjectRef.APIGroup, Resource: resource})
	}
	return sorted(used)
}

// Granted returns what the roles grant that are bound to a service account of the
// test's namespace, in any namespace or in all, sorted.
func (c *Cluster) Granted(t testing.TB, account string) []Permission {
	t.Helper()
	ctx := testContext(t)
	rules, err := c.rules(ctx, account)
	if err != nil {
		t.Fatalf("read what is granted to %s: %v", account, err)
	}
	var granted []Permission
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					granted = append(granted, Permission{Verb: verb, Group: group, Resource: resource})
				}
			}
		}
	}
	return sorted(granted)
}

// rules are those of all roles that are bound to a service account.
func (c *Cluster) rules(ctx context.Context, account string) ([]rbacv1.PolicyRule, error) {
	client := c.plane.admin.RbacV1()
	inNamespaces, err := client.RoleBindings("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	everywhere, err := client.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list cluster role bindings: %w", err)
	}
	bound := func(b rbacv1.RoleBinding) bool {
		return slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool {
			here := s.Namespace == c.Namespace || s.Namespace == "" && b.Namespace == c.Namespace
			return s.Kind == "ServiceAccount" && s.Name == account && here
		})
	}
	var rules []rbacv1.PolicyRule
	for _, binding := range everywhere.Items {
		inNamespaces.Items = append(inNamespaces.Items, rbacv1.RoleBinding{Subjects: binding.Subjects, RoleRef: binding.RoleRef})
	}
	for _, binding := range inNamespaces.Items {
		if !bound(binding) {
			continue
		}
		if binding.RoleRef.Kind == "ClusterRole" {
			role, err := client.ClusterRoles().Get(ctx, binding.RoleRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, fmt.Errorf("get cluster role %s: %w", binding.RoleRef.Name, err)
			}
			rules = append(rules, role.Rules...)
			continue
		}
		role, err := client.Roles(binding.Namespace).Get(ctx, binding.RoleRef.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("get role %s: %w", binding.RoleRef.Name, err)
		}
		rules = append(rules, role.Rules...)
	}
	return rules, nil
}

// sorted returns each permission once, in the order of their texts.
func sorted(all []Permission) []Permission {
	slices.SortFunc(all, func(a, b Permission) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}
