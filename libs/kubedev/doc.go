// Package kubedev runs a private Kubernetes for tests: etcd, kube-apiserver and
// kube-controller-manager of one release, ready in seconds, with RBAC, admission
// and an audit log as a production has them; and, if a test asks for it, a node
// that runs real pods.
//
//	func TestMain(m *testing.M) { kubedev.Main(m) }
//
//	c := kubedev.Start(t, kubedev.Options{})                          // skips where nothing is built; c.Namespace is this test's own
//	c.Apply(t, crds, roles)                                           // YAML, applied on the server's side
//	sentinel, err := dynamic.NewForConfig(c.As(t, "sentinel"))        // a service account with a token of the server
//	c.RunPods(t, func(context.Context, *corev1.Pod) kubedev.Outcome { // without a node, pods end as the test says
//		return kubedev.Outcome{Message: `{"ready":true}`}
//	})
//	c.CheckPermissions(t, "sentinel")                                 // it used what its roles grant, and all of it
//
// With Options{Node: true} pods run: Load gives the node images made of one
// program, LoadArchive those of an archive, Expose lets pods reach a server of
// the test. The node's programs live in network, mount and process namespaces of
// their own, whose end is the end of everything in them; it needs Linux, root and
// the machine's containerd. It enforces no network policies and pulls no images.
//
// The tests of a package share one cluster of each kind, each in a namespace of
// its own; one that stops the API server, or changes what belongs to no
// namespace, asks for a private one. No process outlives the tests, not even if
// they are killed; what files they leave then, the next cluster removes.
//
// The programs are built once, by `make kube`, into the user's cache. It is for
// tests alone: etcd gives up durability for speed, and the administrator's token
// lies in a file.
package kubedev
