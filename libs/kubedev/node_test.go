package kubedev

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const probeImage = "example.com/probe:1"

// startNode returns a cluster that knows the image of the probe.
func startNode(t *testing.T, o Options) *Cluster {
	t.Helper()
	o.Node = true
	c := Start(t, o)
	program := filepath.Join(t.TempDir(), "probe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
	c.Load(t, Image{Name: probeImage, Program: program})
	c.Kubectl(t, "label", "namespace", c.Namespace, "pod-security.kubernetes.io/enforce=restricted")
	return c
}

// probe is the spec of a restricted pod that runs the probe.
func probe(restart, what, with string) string {
	return fmt.Sprintf(`{restartPolicy: %s, terminationGracePeriodSeconds: 0, securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}},
      containers: [{name: probe, image: %q, imagePullPolicy: Never, args: [%q, %q],
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}}]}`, restart, probeImage, what, with)
}

// runProbe runs a Job of the probe to its end and returns the termination message.
func runProbe(t *testing.T, c *Cluster, name, what, with string) string {
	t.Helper()
	c.Apply(t, []byte(fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata: {name: %s}\nspec:\n  backoffLimit: 0\n  template:\n    spec: %s\n",
		name, probe("Never", what, with))))
	k := client(t, c.Config())
	var last *batchv1.Job
	eventually(t, "the Job ends: "+what, func(ctx context.Context) bool {
		job, err := k.BatchV1().Jobs(c.Namespace).Get(ctx, name, metav1.GetOptions{})
		last = job
		return err == nil && job.Status.Succeeded+job.Status.Failed > 0
	})
	pods, err := k.CoreV1().Pods(c.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + name})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods: %v", len(pods.Items), err)
	}
	if last.Status.Succeeded != 1 {
		t.Errorf("the Job failed: %s", c.Kubectl(t, "logs", "job/"+name))
	}
	return pods.Items[0].Status.ContainerStatuses[0].State.Terminated.Message
}

func TestANodeRunsAJobToItsTerminationMessage(t *testing.T) {
	t.Parallel()
	c := startNode(t, Options{})
	if got := runProbe(t, c, "work", "say", `{"zone":"a"}`); got != `{"zone":"a"}` {
		t.Errorf("termination message %q", got)
	}
	if got := c.Kubectl(t, "logs", "job/work"); got != "saying {\"zone\":\"a\"}\n" {
		t.Errorf("log %q", got)
	}
}

func TestAServiceIsReachedByItsName(t *testing.T) {
	t.Parallel()
	c := startNode(t, Options{})
	c.Apply(t, []byte(fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: server}
spec:
  replicas: 2
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: %s
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
`, probe("Always", "serve", "hello"))))
	if got := runProbe(t, c, "client", "fetch", "http://server."+c.Namespace); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestAPodTalksToTheAPIServerAsItsServiceAccount(t *testing.T) {
	t.Parallel()
	c := startNode(t, Options{})
	c.Apply(t, []byte(strings.ReplaceAll(reader, "name: reader}]", "name: default}]")), []byte(lease))
	got := runProbe(t, c, "reader", "api", "/apis/coordination.k8s.io/v1/namespaces/"+c.Namespace+"/leases/leader")
	if !strings.Contains(got, `"holderIdentity":"me"`) {
		t.Errorf("got %q", got)
	}
}

func TestAPodReachesWhatIsExposed(t *testing.T) {
	t.Parallel()
	c := startNode(t, Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from the machine") }))
	defer server.Close()
	address := c.Expose(t, strings.TrimPrefix(server.URL, "http://"))
	if got := runProbe(t, c, "client", "fetch", "http://"+address); got != "from the machine" {
		t.Errorf("got %q", got)
	}
}
