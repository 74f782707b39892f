package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

const (
	resource = "adapterconfigs"
	// callTimeout bounds one call to Kubernetes.
	callTimeout = 10 * time.Second
)

// Object is one AdapterConfig.
type Object struct {
	client          rest.Interface
	namespace, name string
	log             *slog.Logger
}

// New returns the AdapterConfig of the given name.
func New(cfg *rest.Config, namespace, name string, log *slog.Logger) (*Object, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("set up the client of AdapterConfigs: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.GroupVersion, cfg.APIPath = &v1alpha1.GroupVersion, "/apis"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the client of AdapterConfigs: %w", err)
	}
	return &Object{client: client, namespace: namespace, name: name, log: log}, nil
}

// Get reads it once.
func (o *Object) Get(ctx context.Context) (*v1alpha1.AdapterConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a := &v1alpha1.AdapterConfig{}
	if err := o.client.Get().Namespace(o.namespace).Resource(resource).Name(o.name).Do(ctx).Into(a); err != nil {
		return nil, fmt.Errorf("get AdapterConfig %s/%s: %w", o.namespace, o.name, err)
	}
	return a, nil
}

// Follow calls changed with it as it is, and whenever it changes, until ctx ends;
// with nil when it is deleted. One call follows the other.
func (o *Object) Follow(ctx context.Context, changed func(*v1alpha1.AdapterConfig)) error {
	tell := func(obj any) {
		if a, ok := obj.(*v1alpha1.AdapterConfig); ok {
			changed(a.DeepCopy())
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(o.client, resource, o.namespace, fields.OneTermEqualSelector("metadata.name", o.name)),
		ObjectType:    &v1alpha1.AdapterConfig{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: tell, UpdateFunc: func(_, obj any) { tell(obj) }, DeleteFunc: func(any) { changed(nil) },
		},
	})
	informer.RunWithContext(klog.NewContext(ctx, logr.FromSlogHandler(o.log.Handler())))
	return nil
}

// Write stores a status.
func (o *Object) Write(ctx context.Context, s v1alpha1.AdapterConfigStatus) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := json.Marshal(map[string]any{"status": s})
	if err == nil {
		err = o.client.Patch(types.MergePatchType).Namespace(o.namespace).Resource(resource).Name(o.name).SubResource("status").
			VersionedParams(&metav1.PatchOptions{}, metav1.ParameterCodec).Body(raw).Do(ctx).Error()
	}
	if err != nil {
		return fmt.Errorf("write the status of AdapterConfig %s/%s: %w", o.namespace, o.name, err)
	}
	return nil
}
