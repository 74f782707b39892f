package jobs

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Config is what an operator sets. Paths of files that are read are "" for
// what is shipped.
type Config struct {
	OutputDir string // artefacts that have no directory of their own below

	PolicyBundle  string // what clusters must keep to: YAML file, directory, or URL#sha256=…
	InventoryFile string // YAML: the management clusters

	ZoneDir       string // <base domain>.zone files
	CADir         string // ca.crt and ca.key
	BaseDomain    string // of clusters whose spec has none
	IngressDomain string // clusters' names lead to <cluster id>.ingress.<this>
	NameServer    string // of new zones
	DNSProvider   string // URL, instead of zone files: rfc2136://…, route53://…, googleclouddns://…, cloudflare://…
	ACMEDirectory string // URL, instead of the local authority; needs a DNS provider
	ACMERootsFile string // PEM certificates that the ACME server is trusted by; "" = the system's

	PullSecretFile string // dockerconfigjson: the credentials of every cluster
	PullSecretDir  string // <name>.json for the names in spec.pullSecrets; "" = there are none

	ReleaseImage    string // {version} and {arch} stand for the cluster's
	NamespacePrefix string // the tenant follows: the namespace of a tenant's manifests
}

// DefaultConfig returns a configuration that needs nothing but a directory.
func DefaultConfig(outputDir string) Config {
	return Config{
		OutputDir:       outputDir,
		ZoneDir:         filepath.Join(outputDir, "dns"),
		CADir:           filepath.Join(outputDir, "dns"),
		BaseDomain:      "clusters.hyperfleet.example",
		IngressDomain:   "hyperfleet.example",
		NameServer:      "ns1.hyperfleet.example",
		ReleaseImage:    "quay.io/openshift-release-dev/ocp-release:{version}-multi",
		NamespacePrefix: "hyperfleet-",
	}
}

var (
	domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	prefixForm = regexp.MustCompile(`^([a-z0-9][a-z0-9-]{0,30})?$`)
)

// Validate names every problem of c. The files that it names are judged by the
// jobs that read them.
func (c Config) Validate() error {
	var problems []error
	for _, dir := range []struct{ name, value string }{{"output dir", c.OutputDir}, {"zone dir", c.ZoneDir}, {"CA dir", c.CADir}} {
		if dir.value == "" {
			problems = append(problems, fmt.Errorf("%s: want a directory", dir.name))
		}
	}
	for _, domain := range []struct{ name, value string }{
		{"base domain", c.BaseDomain}, {"ingress domain", c.IngressDomain}, {"name server", c.NameServer}} {
		if !domainForm.MatchString(domain.value) || len(domain.value) > 180 {
			problems = append(problems, fmt.Errorf("%s %q: want a domain in lower case such as clusters.example.com", domain.name, domain.value))
		}
	}
	if c.ACMEDirectory != "" && c.DNSProvider == "" {
		problems = append(problems, errors.New("ACME directory: it asks for proof in DNS: set the DNS provider too"))
	}
	if !strings.Contains(c.ReleaseImage, "{version}") {
		problems = append(problems, fmt.Errorf("release image %q: want {version} somewhere", c.ReleaseImage))
	}
	if !prefixForm.MatchString(c.NamespacePrefix) {
		problems = append(problems, fmt.Errorf("namespace prefix %q: want at most 31 lower-case letters, digits and dashes", c.NamespacePrefix))
	}
	return errors.Join(problems...)
}

// artefact is the path of one of a cluster's files below OutputDir.
func (c Config) artefact(parts ...string) string {
	return filepath.Join(append([]string{c.OutputDir}, parts...)...)
}

// shown is path as results give it: relative to OutputDir where it is below.
func (c Config) shown(path string) string {
	if rel, err := filepath.Rel(c.OutputDir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return path
}
