package dns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/nameserver"
)

// Names is what a cluster is called in DNS.
type Names struct {
	Cluster    string // id
	Tenant     string
	Name       string // of the cluster
	BaseDomain string // without the final dot
	Target     string // host name that all the cluster's names lead to
	TTL        uint32 // seconds
}

// Base is the domain below which all names of the cluster are.
func (n Names) Base() string { return n.Name + "." + n.BaseDomain }

// API is the host name of the cluster's API server.
func (n Names) API() string { return "api." + n.Base() }

// Ingress is the wildcard for the cluster's applications.
func (n Names) Ingress() string { return "*.apps." + n.Base() }

// check says what cannot be a name.
func (n Names) check() error {
	for _, name := range []string{n.API(), n.Ingress(), ownerLabel + "." + n.Base(), n.Target} {
		if labels, ok := dns.IsDomainName(name); !ok || labels < 3 || len(name) > 253 || strings.ContainsAny(name, "\\\"();@$ \t\n") {
			return fmt.Errorf("%q is no domain name: change dns.baseDomain or the cluster's name", name)
		}
	}
	return nil
}

// records are the records that the zone must hold for the cluster.
func (n Names) records() []dns.RR {
	head := func(name string, t uint16) dns.RR_Header {
		return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: t, Class: dns.ClassINET, Ttl: n.TTL}
	}
	return []dns.RR{
		&dns.CNAME{Hdr: head(n.API(), dns.TypeCNAME), Target: dns.Fqdn(n.Target)},
		&dns.CNAME{Hdr: head(n.Ingress(), dns.TypeCNAME), Target: dns.Fqdn(n.Target)},
		&dns.TXT{Hdr: head(ownerLabel+"."+n.Base(), dns.TypeTXT), Txt: []string{"cluster=" + n.Cluster, "tenant=" + n.Tenant}},
	}
}

// claim is what a DNS provider is to hold for the cluster.
func (n Names) claim() nameserver.Claim {
	return nameserver.Claim{Cluster: n.Cluster, Tenant: n.Tenant, Mark: dns.Fqdn(ownerLabel + "." + n.Base()), Records: n.records()[:2]}
}

// String shows the names as records.
func (n Names) String() string {
	var lines []string
	for _, rr := range n.records() {
		lines = append(lines, rr.String())
	}
	return strings.Join(lines, "\n")
}

// put makes z hold exactly the cluster's records below its names, and says
// whether anything had to change. Names of another tenant's cluster are an
// error. Those of the same tenant are taken over: a tenant's names are unique,
// so their cluster is gone.
func (z *zone) put(n Names) (changed bool, err error) {
	tenant, taken := z.owner(n.Base())
	if taken && tenant != n.Tenant {
		return false, fmt.Errorf("%s belongs to a cluster of another tenant: choose another dns.baseDomain or name", n.Base())
	}
	want := n.records()
	keep := slices.DeleteFunc(slices.Clone(z.rest), func(rr dns.RR) bool { return taken && isOf(rr, n.Base()) })
	for _, rr := range keep {
		for _, w := range want {
			if sameName(rr.Header().Name, w.Header().Name) {
				return false, fmt.Errorf("%s has a record that is none of a cluster's: choose another dns.baseDomain or name", rr.Header().Name)
			}
		}
	}
	return z.replace(append(keep, want...)), nil
}

// drop removes the records of a cluster wherever in z they stand, and says
// whether there were any.
func (z *zone) drop(cluster string) (changed bool) {
	var bases []string
	for _, rr := range z.rest {
		base, ok := strings.CutPrefix(dns.CanonicalName(rr.Header().Name), ownerLabel+".")
		if txt, is := rr.(*dns.TXT); ok && is && slices.Contains(txt.Txt, "cluster="+cluster) {
			bases = append(bases, base)
		}
	}
	return z.replace(slices.DeleteFunc(slices.Clone(z.rest), func(rr dns.RR) bool {
		return slices.ContainsFunc(bases, func(base string) bool { return isOf(rr, base) })
	}))
}

// replace sets the records of z; the serial rises exactly if they differ.
func (z *zone) replace(rest []dns.RR) (changed bool) {
	old := string(z.text())
	z.rest = rest
	if string(z.text()) == old {
		return false
	}
	z.soa.Serial++ // wraps as RFC 1982 wants it
	return true
}

// owner reads whose the names below base are.
func (z *zone) owner(base string) (tenant string, ok bool) {
	for _, rr := range z.rest {
		txt, is := rr.(*dns.TXT)
		if !is || !sameName(txt.Hdr.Name, dns.Fqdn(ownerLabel+"."+base)) {
			continue
		}
		for _, s := range txt.Txt {
			if v, found := strings.CutPrefix(s, "tenant="); found {
				tenant = v
			}
		}
		return tenant, true
	}
	return "", false
}

// isOf says whether rr is at one of the three names of the cluster at base.
func isOf(rr dns.RR, base string) bool {
	for _, label := range []string{"api.", "*.apps.", ownerLabel + "."} {
		if sameName(rr.Header().Name, dns.Fqdn(label+base)) {
			return true
		}
	}
	return false
}
