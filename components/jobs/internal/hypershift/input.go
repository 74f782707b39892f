package hypershift

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// spec is what of a cluster's spec the manifests depend on.
type spec struct {
	Provider     string `json:"provider"`
	Region       string `json:"region"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	Networking   struct {
		ClusterCIDR string `json:"clusterCIDR"`
		ServiceCIDR string `json:"serviceCIDR"`
		MachineCIDR string `json:"machineCIDR"`
		HostPrefix  int    `json:"hostPrefix"`
	} `json:"networking"`
	ControlPlane struct {
		Availability string `json:"availability"`
	} `json:"controlPlane"`
	NodePools []nodePool `json:"nodePools"`
}

type nodePool struct {
	Name         string `json:"name"`
	InstanceType string `json:"instanceType"`
	Replicas     *int   `json:"replicas"`
	Autoscaling  *struct {
		Min int `json:"min"`
		Max int `json:"max"`
	} `json:"autoscaling"`
	Zones  []string          `json:"zones"`
	Labels map[string]string `json:"labels"`
}

// found is what the jobs before this one returned.
type found struct {
	placement struct {
		ManagementCluster string `json:"managementCluster"`
		Region            string `json:"region"`
		Zone              string `json:"zone"`
		ProviderRegion    string `json:"providerRegion"`
	}
	dns struct {
		BaseDomain        string `json:"baseDomain"`
		APIHost           string `json:"apiHost"`
		IngressHost       string `json:"ingressHost"`
		CertificateSecret string `json:"certificateSecret"`
	}
	pullsecret struct {
		SecretName string `json:"secretName"`
	}
}

// read takes apart what the job was given. The error names everything that is
// missing.
func read(c fleet.Resource, dependencies map[string]json.RawMessage) (s spec, f found, err error) {
	if err := json.Unmarshal(c.Spec, &s); err != nil {
		return s, f, fmt.Errorf("read spec: %w", err)
	}
	var problems []error
	if s.Version == "" {
		problems = append(problems, errors.New("version: missing in spec"))
	}
	for _, d := range []struct {
		name string
		to   any
		need func() map[string]string
	}{
		{"placement", &f.placement, func() map[string]string {
			return map[string]string{"managementCluster": f.placement.ManagementCluster, "region": f.placement.Region, "zone": f.placement.Zone}
		}},
		{"dns", &f.dns, func() map[string]string {
			return map[string]string{"baseDomain": f.dns.BaseDomain, "apiHost": f.dns.APIHost, "ingressHost": f.dns.IngressHost, "certificateSecret": f.dns.CertificateSecret}
		}},
		{"pullsecret", &f.pullsecret, func() map[string]string {
			return map[string]string{"secretName": f.pullsecret.SecretName}
		}},
	} {
		data := dependencies[d.name]
		if len(data) == 0 || bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
			problems = append(problems, fmt.Errorf("%s: its data is missing", d.name))
			continue
		}
		if err := json.Unmarshal(data, d.to); err != nil {
			problems = append(problems, fmt.Errorf("%s: read its data: %w", d.name, err))
			continue
		}
		if missing := empty(d.need()); len(missing) > 0 {
			problems = append(problems, fmt.Errorf("%s: its data lacks %s", d.name, strings.Join(missing, ", ")))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return s, f, fmt.Errorf("the control plane cannot be described: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return s, f, nil
}
