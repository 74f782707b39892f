package kubedev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestMain(m *testing.M) {
	if os.Getenv("KUBEDEV_HELPER") != "" {
		helper()
		return
	}
	Main(m)
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer, maximum: 9}}}}
---
# an object of the kind that was just defined
apiVersion: example.com/v1
kind: Widget
metadata: {name: small}
spec: {size: 3}
`

const reader = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
`

// A binding in all namespaces must name its account's.
const visitor = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: visitor}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: visitor}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: visitor}
subjects: [{kind: ServiceAccount, name: visitor}]
`

const lease = `
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: leader}
spec: {holderIdentity: me}
`

const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: work, image: example.com/work}]
`

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	k, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// eventually waits until what is to happen has happened.
func eventually(t *testing.T, what string, happened func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !happened(ctx) {
		if !wait(ctx) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

func TestDefinitionsAreServedAndJudged(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	c.Apply(t, []byte(widgets))
	if got := c.Kubectl(t, "get", "widgets", "-o", "name"); got != "widget.example.com/small\n" {
		t.Errorf("got %q", got)
	}
	objects, err := decode([]byte(strings.ReplaceAll(widgets, "size: 3", "size: 10")))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.plane.applier(c.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.apply(testContext(t), objects[1]); !apierrors.IsInvalid(err) {
		t.Errorf("a widget that is too big: %v", err)
	}
}

func TestAServiceAccountMayWhatItsRoleSays(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	c.Apply(t, []byte(reader), []byte(lease))
	k := client(t, c.As(t, "reader"))
	if got, err := k.CoordinationV1().Leases(c.Namespace).Get(t.Context(), "leader", metav1.GetOptions{}); err != nil || *got.Spec.HolderIdentity != "me" {
		t.Errorf("get: %v %v", got, err)
	}
	err := k.CoordinationV1().Leases(c.Namespace).Delete(t.Context(), "leader", metav1.DeleteOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), c.User("reader")) {
		t.Errorf("delete: %v", err)
	}
	if _, err := k.CoordinationV1().Leases("default").Get(t.Context(), "leader", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("get elsewhere: %v", err)
	}
}

func TestAClusterRoleIsBoundToTheTestsAccount(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	c.Apply(t, []byte(visitor))
	if _, err := client(t, c.As(t, "visitor")).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(c.Granted(t, "visitor")); got != "[list namespaces]" {
		t.Errorf("granted: %s", got)
	}
}

func TestAKubeconfigServesAProcess(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	path := c.Kubeconfig(t, c.As(t, "nobody"))
	got := c.Kubectl(t, "auth", "whoami", "--kubeconfig="+path, "-o", "jsonpath={.status.userInfo.username}")
	if got != c.User("nobody") {
		t.Errorf("got %q", got)
	}
}

func TestTheAuditLogSaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	k := client(t, c.As(t, "stranger"))
	if _, err := k.CoreV1().Secrets(c.Namespace).Get(t.Context(), "no-such", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Fatal(err)
	}
	eventually(t, "the request is in the audit log", func(context.Context) bool {
		text, err := os.ReadFile(c.AuditLog())
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var event struct {
				Verb string
				User struct{ Username string }
			}
			if json.Unmarshal(line, &event) == nil && event.User.Username == c.User("stranger") && event.Verb == "get" {
				return true
			}
		}
		return false
	})
}

func TestPodSecurityAndPoliciesAreEnforced(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	c.Kubectl(t, "label", "namespace", c.Namespace, "pod-security.kubernetes.io/enforce=restricted")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "root"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}}}
	_, err := client(t, c.Config()).CoreV1().Pods(c.Namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("an unrestricted pod: %v", err)
	}
}

func runJob(t *testing.T, c *Cluster) (condition batchv1.JobConditionType, state *corev1.ContainerStateTerminated) {
	t.Helper()
	c.Apply(t, []byte(job))
	k := client(t, c.Config())
	eventually(t, "the Job ends", func(ctx context.Context) bool {
		j, err := k.BatchV1().Jobs(c.Namespace).Get(ctx, "work", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range j.Status.Conditions {
			if found.Type == batchv1.JobComplete || found.Type == batchv1.JobFailed {
				condition = found.Type
			}
		}
		return condition != ""
	})
	pods, err := k.CoreV1().Pods(c.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=work"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods: %v", len(pods.Items), err)
	}
	return condition, pods.Items[0].Status.ContainerStatuses[0].State.Terminated
}

func TestAJobEndsAsTheTestSays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		outcome Outcome
		want    batchv1.JobConditionType
	}{
		"complete": {Outcome{Message: `{"zone":"a"}`}, batchv1.JobComplete},
		"failed":   {Outcome{ExitCode: 3, Message: "no such zone"}, batchv1.JobFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Start(t, Options{})
			c.RunPods(t, func(context.Context, *corev1.Pod) Outcome { return test.outcome })
			condition, state := runJob(t, c)
			if condition != test.want || state.ExitCode != test.outcome.ExitCode || state.Message != test.outcome.Message {
				t.Errorf("%s, %+v", condition, state)
			}
		})
	}
}

func TestAPodThatIsDeletedIsToldSo(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{})
	started, told := make(chan struct{}), make(chan struct{})
	c.RunPods(t, func(ctx context.Context, _ *corev1.Pod) Outcome {
		close(started)
		<-ctx.Done()
		close(told)
		return Outcome{}
	})
	c.Apply(t, []byte(job))
	<-started
	c.Kubectl(t, "delete", "job", "work", "--cascade=foreground", "--wait=false")
	select {
	case <-told:
	case <-testContext(t).Done():
		t.Fatal("nobody told it")
	}
}

func TestTheAPIServerComesBackWithAllThatItKnew(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Private: true})
	c.RunPods(t, func(context.Context, *corev1.Pod) Outcome { return Outcome{Message: "done"} })
	c.Apply(t, []byte(lease))
	k := client(t, c.As(t, "default"))
	whoami := func(ctx context.Context) error {
		return k.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	}
	for name, away := range map[string]func(){"SIGTERM": c.API().Stop, "SIGKILL": c.API().Kill} {
		away()
		if whoami(t.Context()) == nil {
			t.Errorf("%s: it still answers", name)
		}
		if err := c.API().Start(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := whoami(t.Context()); err != nil {
			t.Errorf("%s: the token of before: %v", name, err)
		}
	}
	if err := c.API().Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if whoami(short) == nil {
		t.Error("it answers while it is paused")
	}
	if err := c.API().Resume(); err != nil {
		t.Fatal(err)
	}
	c.Kubectl(t, "get", "lease", "leader")
	if condition, _ := runJob(t, c); condition != batchv1.JobComplete {
		t.Errorf("the Job after all outages: %s", condition)
	}
}

func TestTheModulesPinTheReleases(t *testing.T) {
	t.Parallel()
	for _, p := range append(programs(), nodePrograms()...) {
		if p == pauseProgram() {
			continue // this module's own
		}
		text, err := os.ReadFile(filepath.Join("../../.tools", p.tool, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		module, _, _ := strings.Cut(p.pkg, "/cmd/")
		if !strings.Contains(string(text), module+" "+p.version+" // indirect\n") {
			t.Errorf("%s: .tools/%s/go.mod does not pin %s %s", p.name, p.tool, module, p.version)
		}
		if !strings.Contains(string(text), p.pkg+"\n") {
			t.Errorf("%s: .tools/%s/go.mod has no tool %s", p.name, p.tool, p.pkg)
		}
	}
}
