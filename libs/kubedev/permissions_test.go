package kubedev

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// complaints is a test that notes what it is told.
type complaints struct {
	testing.TB

	said []string
}

func (c *complaints) Errorf(format string, arguments ...any) {
	c.said = append(c.said, fmt.Sprintf(format, arguments...))
}

const watcher = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: watcher}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, watch]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: watcher}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: watcher}
subjects: [{kind: ServiceAccount, name: watcher}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: somebody-else}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: other}]
`

func TestWhatIsUsedMustBeWhatIsGranted(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	c.Apply(t, []byte(watcher), []byte(lease))
	k := client(t, c.As(t, "watcher"))
	leases := k.CoordinationV1().Leases(c.Namespace)
	if _, err := leases.Get(t.Context(), "leader", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	watch, err := leases.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop() // it counts while it goes on

	short := &complaints{TB: t}
	c.CheckPermissions(short, "watcher")
	if len(short.said) != 1 || !strings.HasSuffix(short.said[0], "did not use: [get pods/log]") {
		t.Errorf("a right that was not used: %q", short.said)
	}
	_, _ = k.CoreV1().Pods(c.Namespace).GetLogs("no-such", &corev1.PodLogOptions{}).DoRaw(t.Context()) // there is none
	c.CheckPermissions(t, "watcher")

	if err := leases.Delete(t.Context(), "leader", metav1.DeleteOptions{}); err == nil {
		t.Fatal("the account may delete")
	}
	eventually(t, "the refused request is noticed", func(context.Context) bool {
		long := &complaints{TB: t}
		c.CheckPermissions(long, "watcher")
		return len(long.said) == 1 && strings.HasSuffix(long.said[0], "grants: [delete leases.coordination.k8s.io]")
	})
}

func TestPermissionsAreComparedBothWays(t *testing.T) {
	t.Parallel()
	get, list, all := Permission{"get", "", "pods"}, Permission{"list", "", "pods"}, Permission{"get", "", "*"}
	undeclared, unused := compare([]Permission{get, list}, []Permission{list, all})
	if diff := cmp.Diff([][]Permission{{get}, {all}}, [][]Permission{undeclared, unused}); diff != "" {
		t.Error(diff)
	}
}
