package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/acme"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/dns"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/hypershift"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/nameserver"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/placement"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/pullsecret"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/validation"
)

func validate(ctx context.Context, in Input) (string, any, error) {
	bundle, err := validation.Shipped()
	if in.Config.PolicyBundle != "" {
		bundle, err = validation.Open(ctx, newClient(), in.Config.PolicyBundle)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the policies: %w", err)
	}
	policies, err := validation.Compile(bundle)
	if err != nil {
		return "", nil, err
	}
	return validation.Run(ctx, policies, validation.Subject{Cluster: in.Cluster, NodePool: in.NodePool},
		in.verdict(), in.files())
}

// forget removes the verdict. Nothing else is left of a validation.
func forget(_ context.Context, in Input) (string, any, error) {
	_, err := in.files().Remove(in.verdict())
	return "nothing is left to undo", nil, err
}

func (in Input) verdict() string { return in.Config.artefact("validation", in.resourceID()+".json") }

// files are how the job changes files.
func (in Input) files() disk.Files { return disk.Files{Plan: in.Plan} }

func place(ctx context.Context, in Input) (string, any, error) {
	name, text, err := shippedOr(in.Config.InventoryFile, placement.Default)
	if err != nil {
		return "", nil, fmt.Errorf("read the inventory: %w", err)
	}
	inventory, err := placement.Load(name, text)
	if err != nil {
		return "", nil, err
	}
	return placement.Run(ctx, inventory, in.Cluster, in.placement())
}

func free(ctx context.Context, in Input) (string, any, error) {
	message, err := placement.Release(ctx, in.Cluster.ID, in.placement())
	return message, nil, err
}

func (in Input) placement() placement.Options {
	return placement.Options{Path: in.Config.artefact("placement", "assignments.json"),
		Explanation: in.Config.artefact("placement", in.Cluster.ID+".json"), Files: in.files()}
}

// defaultTTL is that of records of clusters whose spec has none, in seconds.
const defaultTTL = 300

func nameHosts(ctx context.Context, in Input) (string, any, error) {
	n, err := in.names()
	if err != nil {
		return "", nil, err
	}
	o, err := in.dns()
	if err != nil {
		return "", nil, err
	}
	zone, err := dns.Run(ctx, n, o)
	if err != nil {
		return "", nil, err
	}
	if zone != "" {
		zone = in.Config.shown(zone)
	}
	return n.API() + " and " + n.Ingress() + " lead to the cluster, with a certificate", dns.Data{BaseDomain: n.BaseDomain,
		APIHost: n.API(), IngressHost: n.Ingress(), ZoneFile: zone, CertificateSecret: o.Secret.Name}, nil
}

// unnameHosts finds records in zone files by the cluster's id. A spec that names
// no domain has none at a provider.
func unnameHosts(ctx context.Context, in Input) (string, any, error) {
	n, err := in.names()
	if err != nil {
		n = dns.Names{Cluster: in.Cluster.ID, Tenant: in.Cluster.Tenant, Name: in.Cluster.Name}
	}
	o, err := in.dns()
	if err != nil {
		return "", nil, err
	}
	return "the records and the certificate are removed", nil, dns.Remove(ctx, n, o)
}

func (in Input) dns() (dns.Options, error) {
	o := dns.Options{ZoneDir: in.Config.ZoneDir, AuthorityDir: in.Config.CADir, NameServer: in.Config.NameServer, Now: time.Now(),
		SecretPath: in.Config.artefact("tls", in.Cluster.ID+".yaml"), Secret: in.meta("-tls"), Files: in.files(), Former: in.formerDomain()}
	if in.Config.DNSProvider == "" {
		return o, nil
	}
	var err error
	if o.Provider, err = nameserver.Open(in.Config.DNSProvider); err != nil {
		return dns.Options{}, err
	}
	if in.Config.ACMEDirectory != "" {
		o.ACME = &acme.Issuer{Directory: in.Config.ACMEDirectory, RootsFile: in.Config.ACMERootsFile, Log: in.Log, Files: in.files(),
			AccountKey: filepath.Join(in.Config.CADir, "acme.key"), Records: o.Provider}
	}
	return o, nil
}

// formerDomain is the base domain that the job last reported.
func (in Input) formerDomain() string {
	for _, a := range in.Cluster.Status.Adapters {
		var data dns.Data
		if a.AdapterName == "dns" && json.Unmarshal(a.Data, &data) == nil {
			return data.BaseDomain
		}
	}
	return ""
}

// names are what the cluster's spec says it is called.
func (in Input) names() (dns.Names, error) {
	var spec struct {
		DNS struct {
			BaseDomain string  `json:"baseDomain"`
			TTL        *uint32 `json:"ttl"`
		} `json:"dns"`
	}
	if err := json.Unmarshal(in.Cluster.Spec, &spec); err != nil {
		return dns.Names{}, fmt.Errorf("read spec: %w", err)
	}
	n := dns.Names{Cluster: in.Cluster.ID, Tenant: in.Cluster.Tenant, Name: in.Cluster.Name,
		BaseDomain: strings.TrimSuffix(strings.ToLower(spec.DNS.BaseDomain), "."),
		Target:     in.Cluster.ID + ".ingress." + in.Config.IngressDomain, TTL: defaultTTL}
	if n.BaseDomain == "" {
		n.BaseDomain = in.Config.BaseDomain
	}
	if !domainForm.MatchString(n.BaseDomain) {
		return dns.Names{}, fmt.Errorf("dns.baseDomain %q: want a domain such as clusters.example.com", n.BaseDomain)
	}
	if spec.DNS.TTL != nil {
		n.TTL = *spec.DNS.TTL
	}
	return n, nil
}

func credential(_ context.Context, in Input) (string, any, error) {
	name, text, err := shippedOr(in.Config.PullSecretFile, pullsecret.Default)
	if err != nil {
		return "", nil, fmt.Errorf("read the pull secret: %w", err)
	}
	o := in.pullSecret()
	o.Base = pullsecret.Source{Name: name, Text: text}
	return pullsecret.Run(in.Cluster, o)
}

func discredit(_ context.Context, in Input) (string, any, error) {
	message, err := pullsecret.Remove(in.pullSecret())
	return message, nil, err
}

// pullSecret is everything but the credentials of every cluster.
func (in Input) pullSecret() pullsecret.Options {
	path := in.Config.artefact("pullsecret", in.Cluster.ID+".yaml")
	return pullsecret.Options{Dir: in.Config.PullSecretDir, Path: path, Shown: in.Config.shown(path), Secret: in.meta("-pull-secret"), Files: in.files()}
}

func describe(_ context.Context, in Input) (string, any, error) {
	if in.NodePool != nil {
		return hypershift.RunPool(in.Cluster, *in.NodePool, in.hypershift())
	}
	return hypershift.Run(in.Cluster, in.Dependencies, in.hypershift())
}

func undescribe(_ context.Context, in Input) (string, any, error) {
	message, err := hypershift.Remove(in.hypershift())
	return message, nil, err
}

func (in Input) hypershift() hypershift.Options {
	path := in.Config.artefact("hypershift", in.resourceID()+".yaml")
	return hypershift.Options{Namespace: in.namespace(), ReleaseImage: in.Config.ReleaseImage, Path: path, Shown: in.Config.shown(path), Files: in.files()}
}

// resourceID is the id of what the job is about.
func (in Input) resourceID() string {
	if in.NodePool != nil {
		return in.NodePool.ID
	}
	return in.Cluster.ID
}

// namespace keeps tenants apart: names of clusters are unique in a tenant only.
func (in Input) namespace() string { return in.Config.NamespacePrefix + in.Cluster.Tenant }

// meta is the metadata of one of the cluster's Secrets.
func (in Input) meta(suffix string) manifest.Meta {
	return manifest.Meta{Name: in.Cluster.Name + suffix, Namespace: in.namespace(),
		Labels: map[string]string{"hyperfleet.redhat.com/cluster-id": in.Cluster.ID}}
}

// newClient is for servers that a job asks once or twice.
func newClient() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
}

// shippedOr reads a file, or gives what is shipped if path is "".
func shippedOr(path string, shipped []byte) (name string, text []byte, err error) {
	if path == "" {
		return "(shipped)", shipped, nil
	}
	text, err = os.ReadFile(path)
	return path, text, err
}
