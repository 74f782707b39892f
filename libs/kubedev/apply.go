package kubedev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// Apply applies YAML documents on the server's side as the administrator, in
// their order, and waits for the kinds that they define. Objects that name no
// namespace go to the test's, and so do service accounts that a binding names
// without one.
func (c *Cluster) Apply(t testing.TB, manifests ...[]byte) {
	t.Helper()
	a, err := c.plane.applier(c.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range manifests {
		objects, err := decode(manifest)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects {
			if err := a.apply(testContext(t), object); err != nil {
				t.Fatalf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
			}
		}
	}
}

func (p *plane) applier(namespace string) (*applier, error) {
	client, err := dynamic.NewForConfig(p.config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(p.admin.Discovery()))
	return &applier{namespace: namespace, client: client, mapper: mapper}, nil
}

// decode reads the documents of a YAML file.
func decode(manifest []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if len(object.Object) > 0 { // more than a comment
			objects = append(objects, object)
		}
	}
}

// applier applies objects into a namespace.
type applier struct {
	namespace string
	client    dynamic.Interface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func (a *applier) apply(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	if err := a.placeSubjects(object); err != nil {
		return err
	}
	var door dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := object.GetNamespace()
		if namespace == "" {
			namespace = a.namespace
		}
		object.SetNamespace(namespace)
		door = a.client.Resource(mapping.Resource).Namespace(namespace)
	}
	options := metav1.ApplyOptions{FieldManager: "kubedev", Force: true}
	if _, err := door.Apply(ctx, object.GetName(), object, options); err != nil {
		return err
	}
	if kind.Kind == "CustomResourceDefinition" {
		return a.waitServed(ctx, object, door)
	}
	return nil
}

// placeSubjects gives the service accounts that a binding names a namespace.
func (a *applier) placeSubjects(object *unstructured.Unstructured) error {
	subjects, found, err := unstructured.NestedSlice(object.Object, "subjects")
	if err != nil || !found || object.GroupVersionKind().Group != "rbac.authorization.k8s.io" {
		return err
	}
	for _, subject := range subjects {
		if s, ok := subject.(map[string]any); ok && s["kind"] == "ServiceAccount" && s["namespace"] == nil {
			s["namespace"] = a.namespace
		}
	}
	return unstructured.SetNestedSlice(object.Object, subjects, "subjects")
}

// waitServed waits until the server serves what a definition defines.
func (a *applier) waitServed(ctx context.Context, object *unstructured.Unstructured, door dynamic.ResourceInterface) error {
	for {
		now, err := door.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err == nil && established(now) && a.served(now) {
			return nil
		}
		if !wait(ctx) {
			return fmt.Errorf("it is not established: %w", ctx.Err())
		}
	}
}

// served says whether discovery tells of what a definition defines.
func (a *applier) served(definition *unstructured.Unstructured) bool {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group") // the server accepted it
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	a.mapper.Reset()
	_, err := a.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind})
	return err == nil
}

func established(definition *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions") // none yet: not established
	for _, condition := range conditions {
		if c, ok := condition.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
			return true
		}
	}
	return false
}
