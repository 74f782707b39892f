package hypershift

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const apiVersion = "hypershift.openshift.io/v1beta1"

// Networks of clusters whose spec says nothing, as OpenShift has them.
const (
	defaultClusterCIDR = "10.132.0.0/14"
	defaultServiceCIDR = "172.31.0.0/16"
	defaultHostPrefix  = 23
)

// platforms maps providers to platform types and to the field that holds a
// platform's settings.
var platforms = map[string]platform{
	"aws":   {"AWS", "aws"},
	"azure": {"Azure", "azure"},
	"gcp":   {"GCP", "gcp"},
	"":      {"None", ""}, // machines join by themselves
}

type platform struct{ typ, field string }

func platformOf(provider string) (platform, error) {
	p, ok := platforms[provider]
	if !ok {
		known := slices.DeleteFunc(slices.Sorted(maps.Keys(platforms)), func(p string) bool { return p == "" })
		return p, fmt.Errorf("provider %q has no HyperShift platform; those of %s have one", provider, strings.Join(known, ", "))
	}
	return p, nil
}

type object = map[string]any

// Data is what the job returns.
type Data struct {
	Manifest  string `json:"manifest"`
	Namespace string `json:"namespace"`
}

// Options are what the manifests depend on besides the cluster.
type Options struct {
	Namespace    string
	ReleaseImage string // {version} and {arch} stand for the cluster's
	Path         string // of the file
	Shown        string // the path as the data gives it
	Files        disk.Files
}

// image is the release image of a version.
func (o Options) image(version, architecture string) string {
	return strings.NewReplacer("{version}", version, "{arch}", releaseArch(architecture)).Replace(o.ReleaseImage)
}

// Run writes the manifests of c.
func Run(c fleet.Resource, dependencies map[string]json.RawMessage, o Options) (string, Data, error) {
	text, pools, err := Render(c, dependencies, o)
	if err != nil {
		return "", Data{}, err
	}
	if _, err := o.Files.Write(o.Path, text, disk.Readable); err != nil {
		return "", Data{}, err
	}
	noun := "node pools"
	if pools == 1 {
		noun = "node pool"
	}
	return fmt.Sprintf("described the control plane and %d %s", pools, noun), Data{o.Shown, o.Namespace}, nil
}

// Remove removes the manifests that Run or RunPool wrote.
func Remove(o Options) (string, error) {
	removed, err := o.Files.Remove(o.Path)
	if err != nil {
		return "", err
	}
	if !removed {
		return "there were no manifests", nil
	}
	return "removed the manifests", nil
}

// Render returns the manifests of c and the number of its node pools.
func Render(c fleet.Resource, dependencies map[string]json.RawMessage, o Options) (text []byte, pools int, err error) {
	s, f, err := read(c, dependencies)
	if err != nil {
		return nil, 0, err
	}
	on, err := platformOf(s.Provider)
	if err != nil {
		return nil, 0, err
	}
	image := o.image(s.Version, s.Architecture)
	objects := []any{hostedCluster(c, s, f, o.Namespace, image, on)}
	for _, p := range s.NodePools {
		objects = append(objects, nodePoolObject(c, s, p, metadata(c, c.Name+"-"+p.Name, o.Namespace), image, on))
	}
	if text, err = manifest.YAML(objects...); err != nil {
		return nil, 0, err
	}
	return text, len(s.NodePools), nil
}

func hostedCluster(c fleet.Resource, s spec, f found, namespace, image string, on platform) object {
	settings := object{"type": on.typ}
	if field := on.field; field != "" {
		settings[field] = object{regionField(field): cmp.Or(f.placement.ProviderRegion, s.Region)}
	}
	networking := object{
		"networkType": "OVNKubernetes",
		"clusterNetwork": []object{{
			"cidr":       cmp.Or(s.Networking.ClusterCIDR, defaultClusterCIDR),
			"hostPrefix": cmp.Or(s.Networking.HostPrefix, defaultHostPrefix),
		}},
		"serviceNetwork": []object{{"cidr": cmp.Or(s.Networking.ServiceCIDR, defaultServiceCIDR)}},
	}
	if s.Networking.MachineCIDR != "" {
		networking["machineNetwork"] = []object{{"cidr": s.Networking.MachineCIDR}}
	}
	availability := cmp.Or(s.ControlPlane.Availability, "HighlyAvailable")
	meta := metadata(c, c.Name, namespace)
	meta.Labels["hyperfleet.redhat.com/management-cluster"] = f.placement.ManagementCluster
	meta.Annotations["hyperfleet.redhat.com/zone"] = f.placement.Zone
	return object{
		"apiVersion": apiVersion,
		"kind":       "HostedCluster",
		"metadata":   meta,
		"spec": object{
			"clusterID":                        c.ID,
			"infraID":                          infraID(c),
			"channel":                          channel(s.Version),
			"release":                          object{"image": image},
			"pullSecret":                       object{"name": f.pullsecret.SecretName},
			"dns":                              object{"baseDomain": f.dns.BaseDomain},
			"networking":                       networking,
			"platform":                         settings,
			"controllerAvailabilityPolicy":     availability,
			"infrastructureAvailabilityPolicy": availability,
			"etcd": object{"managementType": "Managed", "managed": object{
				"storage": object{"type": "PersistentVolume", "persistentVolume": object{"size": "8Gi"}}}},
			"services": services(f),
			"configuration": object{"apiServer": object{"servingCerts": object{"namedCertificates": []object{{
				"names":              []string{f.dns.APIHost},
				"servingCertificate": object{"name": f.dns.CertificateSecret},
			}}}}, "ingress": object{"domain": strings.TrimPrefix(f.dns.IngressHost, "*.")}},
		},
	}
}

// services says how the control plane's endpoints are published: the API
// server under its own name, the rest behind the management cluster's router.
func services(f found) []object {
	list := []object{{"service": "APIServer", "servicePublishingStrategy": object{
		"type": "LoadBalancer", "loadBalancer": object{"hostname": f.dns.APIHost}}}}
	for _, s := range []string{"OAuthServer", "Konnectivity", "Ignition"} {
		list = append(list, object{"service": s, "servicePublishingStrategy": object{"type": "Route"}})
	}
	return list
}

func nodePoolObject(c fleet.Resource, s spec, p nodePool, meta manifest.Meta, image string, on platform) object {
	settings := object{"type": on.typ}
	if field := on.field; field != "" && p.InstanceType != "" {
		settings[field] = object{sizeField(field): p.InstanceType}
	}
	body := object{
		"clusterName": c.Name,
		"release":     object{"image": image},
		"arch":        cmp.Or(s.Architecture, "amd64"),
		"management":  object{"upgradeType": "Replace", "autoRepair": true},
		"platform":    settings,
	}
	if p.Autoscaling != nil {
		body["autoScaling"] = object{"min": p.Autoscaling.Min, "max": p.Autoscaling.Max}
	} else if p.Replicas != nil {
		body["replicas"] = *p.Replicas
	}
	if len(p.Labels) > 0 {
		body["nodeLabels"] = p.Labels
	}
	if len(p.Zones) > 0 {
		meta.Annotations["hyperfleet.redhat.com/zones"] = strings.Join(p.Zones, ",")
	}
	return object{"apiVersion": apiVersion, "kind": "NodePool", "metadata": meta, "spec": body}
}
