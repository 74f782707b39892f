package kubedev

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startTimeout is how long a start may take; 4 s are usual on two cores.
const startTimeout = 3 * time.Minute

// shared are the clusters of a test process, without and with a node. Tests of
// one package have nothing to hand a server through but the package, hence the
// one variable.
var shared struct {
	alone, withNode sharedPlane
	inMain          atomic.Bool
	names           atomic.Int64
}

// sharedPlane is started by the first who asks.
type sharedPlane struct {
	once  sync.Once
	plane *plane
	err   error
}

// Main is the body of a TestMain: it runs the tests of a package that uses
// [Start] and stops the server that they shared.
func Main(m *testing.M) { os.Exit(Run(m.Run)) }

// Run is [Main] for packages that share more than this: it runs the tests, stops
// the server that they shared and returns the exit code.
func Run(tests func() int) (code int) {
	shared.inMain.Store(true)
	code = tests()
	for _, s := range []*sharedPlane{&shared.alone, &shared.withNode} {
		if s.plane == nil {
			continue
		}
		if err := s.plane.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the tests' Kubernetes:", err)
			code = 1
		}
	}
	return code
}

// Options say which cluster a test needs. The zero value is the one that all
// tests of the package share.
type Options struct {
	// Private makes it the test's own: for tests that stop the API server or
	// change what belongs to no namespace.
	Private bool
	// Node adds a node that runs pods: 20 s, root, and the machine's containerd.
	Node bool
}

// Need skips t where the programs are not built: tests build nothing.
func Need(t testing.TB) {
	t.Helper()
	if names := missing(programs()); len(names) > 0 {
		t.Skipf("Kubernetes %s is not built (%s); build it with: make kube", kubernetesVersion, strings.Join(names, ", "))
	}
}

// Start returns a cluster that is ready, with a fresh namespace, which is
// deleted when the test ends. It skips as [Need] and [NeedNode] do.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Node {
		NeedNode(t)
	}
	Need(t)
	c := &Cluster{plane: planeFor(t, o)}
	c.makeNamespace(t)
	return c
}

func planeFor(t testing.TB, o Options) *plane {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if o.Private {
		p, err := startPlane(ctx, o.Node)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.stop(); err != nil {
				t.Error(err)
			}
		})
		return p
	}
	if !shared.inMain.Load() {
		t.Fatal("a shared cluster of kubedev needs: func TestMain(m *testing.M) { kubedev.Main(m) }")
	}
	s := &shared.alone
	if o.Node {
		s = &shared.withNode
	}
	s.once.Do(func() { s.plane, s.err = startPlane(ctx, o.Node) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.plane
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// makeNamespace makes the test's namespace, and waits for its default service
// account, without which no pod can be created.
func (c *Cluster) makeNamespace(t testing.TB) {
	t.Helper()
	ctx := testContext(t)
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	c.Namespace = strings.Trim(fmt.Sprintf("t%d-%.40s", shared.names.Add(1), name), "-")
	namespaces := c.plane.admin.CoreV1().Namespaces()
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create namespace %s: %v", c.Namespace, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := namespaces.Delete(ctx, c.Namespace, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) && c.running() {
			t.Errorf("delete namespace %s: %v", c.Namespace, err)
		}
	})
	for {
		_, err := c.plane.admin.CoreV1().ServiceAccounts(c.Namespace).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return
		}
		if !wait(ctx) {
			t.Fatalf("wait for the default service account of namespace %s: %v", c.Namespace, err)
		}
	}
}

// testContext bounds a step of a test that the server answers at once.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
