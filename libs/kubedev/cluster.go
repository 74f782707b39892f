package kubedev

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// tokenLifetime outlives every test.
const tokenLifetime = 4 * time.Hour

// Cluster is a Kubernetes as one test sees it: with a namespace of its own.
type Cluster struct {
	// Namespace is the test's own.
	Namespace string

	plane *plane
}

// Config returns the administrator's configuration (group system:masters).
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.plane.config) }

// API returns the API server, to stop it. Ask for a private cluster to do so.
func (c *Cluster) API() *APIServer { return c.plane.api }

// AuditLog returns the path of the API server's audit log: one JSON object per
// line and request, at level Metadata, written when the request was answered.
func (c *Cluster) AuditLog() string { return c.plane.path("audit.log") }

// As returns the configuration of a service account in the test's namespace, with
// a token of the server's. It makes the account unless there is one; it may do
// what was granted to it, and nothing else.
func (c *Cluster) As(t testing.TB, account string) *rest.Config {
	t.Helper()
	ctx := testContext(t)
	accounts := c.plane.admin.CoreV1().ServiceAccounts(c.Namespace)
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("create service account %s: %v", account, err)
	}
	seconds := int64(tokenLifetime.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := accounts.CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create token of service account %s: %v", account, err)
	}
	config := rest.AnonymousClientConfig(c.plane.config)
	config.BearerToken = answer.Status.Token
	return config
}

// User returns the name under which a service account of the test's namespace
// appears in the audit log and in subject access reviews.
func (c *Cluster) User(account string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", c.Namespace, account)
}

// Kubectl runs kubectl as the administrator in the test's namespace and returns
// what it printed; the test fails if kubectl does.
func (c *Cluster) Kubectl(t testing.TB, arguments ...string) string {
	t.Helper()
	path, err := release("kubectl").path()
	if err != nil {
		t.Fatal(err)
	}
	arguments = append([]string{"--kubeconfig=" + c.plane.path("admin.kubeconfig"), "--namespace=" + c.Namespace}, arguments...)
	cmd := exec.CommandContext(testContext(t), path, arguments...) //nolint:gosec // a program of this package
	cmd.Env = []string{"HOME=" + c.plane.dir}                      // its cache of discovery
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", arguments[2:], err, out)
	}
	return string(out)
}

// Expose lets pods reach what listens on this machine, a database say, until the
// test ends, and returns the address for them: pods have no other way out.
func (c *Cluster) Expose(t testing.TB, address string) string {
	t.Helper()
	if c.plane.box == nil {
		t.Fatal("pods need a node: kubedev.Options{Node: true}")
	}
	listener, err := new(net.ListenConfig).Listen(testContext(t), "tcp4", net.JoinHostPort(c.plane.box.hostAddress(), "0"))
	if err != nil {
		t.Fatalf("expose %s: %v", address, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &forward{address: address, listener: listener}
	f.wg.Go(func() { f.serve(ctx) })
	t.Cleanup(func() { cancel(); listener.Close(); f.wg.Wait() })
	return listener.Addr().String()
}

// running says whether the API server's process is there.
func (c *Cluster) running() bool {
	select {
	case <-c.plane.api.process.ended:
		return false
	default:
		return true
	}
}
