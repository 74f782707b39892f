package charts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/hyperfleet/hyperfleet/charts/render"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

// definitions are the CustomResourceDefinitions: ours from their chart, and
// those of others that `make bin/crds` generates.
func definitions(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	objects, err := render.Chart(t.Context(), tool(t, "helm"), "hyperfleet-crds")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		text, err := object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	for _, name := range []string{"monitoring.coreos.com_podmonitors", "monitoring.coreos.com_prometheusrules", "keda.sh_scaledobjects", "keda.sh_triggerauthentications"} {
		text, err := os.ReadFile(filepath.Join(tool(t, "crds"), name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// server is a real API server that has the definitions, and the namespace under
// restricted pod security.
type server struct {
	client dynamic.Interface
	mapper meta.RESTMapper
}

func newServer(t *testing.T) server {
	t.Helper()
	c := kubedev.Start(t, kubedev.Options{Private: true})
	c.Apply(t, definitions(t)...)
	c.Apply(t, fmt.Appendf(nil, "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}}", render.Namespace))
	admin, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	config := c.Config()
	config.WarningHandler = rest.NoWarnings{} // pods are judged as such
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return server{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(admin.Discovery()))}
}

// create creates an object strictly; dry: it is judged and forgotten.
func (s server) create(ctx context.Context, object *unstructured.Unstructured, dry bool) error {
	kind := object.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var door dynamic.ResourceInterface = s.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		door = s.client.Resource(mapping.Resource).Namespace(render.Namespace)
	}
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	if dry {
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err = door.Create(ctx, object, options)
	return err
}

// judge has the server judge objects, and the pods that their templates make:
// pod security refuses pods alone.
func (s server) judge(ctx context.Context, objects []*unstructured.Unstructured) error {
	var problems []error
	for _, object := range objects {
		if err := s.create(ctx, object, true); err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err))
		}
		template, found, err := unstructured.NestedMap(object.Object, "spec", "template")
		if err != nil || !found || object.GetKind() == "Job" {
			continue
		}
		pod := &unstructured.Unstructured{Object: template}
		if err := mountClaims(object, template); err != nil {
			problems = append(problems, err)
		}
		pod.SetAPIVersion("v1")
		pod.SetKind("Pod")
		pod.SetName(object.GetName())
		unstructured.RemoveNestedField(template, "spec", "serviceAccountName") // a dry run makes none
		if err := s.create(ctx, pod, true); err != nil {
			problems = append(problems, fmt.Errorf("pod of %s %s: %w", object.GetKind(), object.GetName(), err))
		}
	}
	return errors.Join(problems...)
}

// mountClaims gives a pod the volumes that a StatefulSet's claims become.
func mountClaims(object *unstructured.Unstructured, template map[string]any) error {
	claims, _, err := unstructured.NestedSlice(object.Object, "spec", "volumeClaimTemplates")
	if err != nil || len(claims) == 0 {
		return err
	}
	volumes, _, err := unstructured.NestedSlice(template, "spec", "volumes")
	for _, claim := range claims {
		name, _, err := unstructured.NestedString(claim.(map[string]any), "metadata", "name")
		if err != nil {
			return err
		}
		volumes = append(volumes, map[string]any{"name": name, "emptyDir": map[string]any{}})
	}
	return errors.Join(err, unstructured.SetNestedSlice(template, volumes, "spec", "volumes"))
}

// waitForAccount waits for the namespace's default account, which pods need.
func (s server) waitForAccount(t *testing.T) {
	t.Helper()
	accounts := s.client.Resource(corev1.SchemeGroupVersion.WithResource("serviceaccounts")).Namespace(render.Namespace)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, err := accounts.Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the namespace has no default account")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestTheAPIServerAdmitsEveryObject asks a real API server, with the definitions
// of ours and of others, under restricted pod security.
func TestTheAPIServerAdmitsEveryObject(t *testing.T) {
	t.Parallel()
	tool(t, "crds")
	s := newServer(t)
	s.waitForAccount(t)
	for name, arguments := range sets(t) {
		for _, helm := range helms {
			objects := chart(t, helm, arguments...)
			for _, object := range objects {
				if object.GetKind() == "Pod" { // of helm test
					unstructured.RemoveNestedField(object.Object, "spec", "serviceAccountName")
				}
			}
			if err := s.judge(t.Context(), objects); err != nil {
				t.Errorf("%s, %s: %v", name, helm, err)
			}
		}
	}
	// It is no judge unless it refuses what is wrong.
	for what, change := range map[string]func(spec map[string]any){
		"a pod that runs as root":     func(spec map[string]any) { spec["securityContext"] = map[string]any{"runAsUser": int64(0)} },
		"a pod on the node's network": func(spec map[string]any) { spec["hostNetwork"] = true },
		"a field that no type has":    func(spec map[string]any) { spec["hostNetwrok"] = true },
		"a container of every privilege": func(spec map[string]any) {
			spec["containers"].([]any)[0].(map[string]any)["securityContext"] = map[string]any{"privileged": true}
		},
	} {
		for _, object := range chart(t, "helm", "-f", "hyperfleet/values/hub.yaml") {
			if object.GetKind() != "Deployment" {
				continue
			}
			spec, _, err := unstructured.NestedMap(object.Object, "spec", "template", "spec")
			if err != nil {
				t.Fatal(err)
			}
			change(spec)
			if err := unstructured.SetNestedMap(object.Object, spec, "spec", "template", "spec"); err != nil {
				t.Fatal(err)
			}
			if s.judge(t.Context(), []*unstructured.Unstructured{object}) == nil {
				t.Errorf("the server admits %s", what)
			}
		}
	}
}
