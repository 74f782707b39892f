// Package kubedev runs a private Kubernetes for tests: etcd, kube-apiserver and
// kube-controller-manager of one release, ready in seconds, with RBAC, admission
// and an audit log as a production has them.
//
//	func TestMain(m *testing.M) { kubedev.Main(m) }
//
//	c := kubedev.Start(t, kubedev.Options{})                         // skips where nothing is built; c.Namespace is this test's own
//	c.Apply(t, crds, roles)                                          // YAML, applied on the server's side
//	sentinel, err := dynamic.NewForConfig(c.As(t, "sentinel"))       // a service account with a token of the server
//	c.RunPods(t, func(context.Context, *corev1.Pod) kubedev.Outcome { // pods end as the test says
//		return kubedev.Outcome{Message: `{"ready":true}`}
//	})
//
// The tests of a package share one server, each in a namespace of its own; one
// that stops the server asks for a private one. No process outlives the tests,
// not even if they are killed.
//
// The programs are built once, by `make kube`, into the user's cache. It is for
// tests alone: etcd gives up durability for speed.
package kubedev
