package dns

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Timers of the zones' SOA records, in seconds: the values that RIPE-203
// recommends for small zones, with a short negative TTL because clusters come
// and go.
const (
	refresh     = 86400
	retry       = 7200
	expire      = 3600000
	negativeTTL = 60
	zoneTTL     = 3600 // of SOA and NS
)

// ownerLabel is the name, below a cluster's, of the TXT record that says whose
// the names are.
const ownerLabel = "_hyperfleet"

// zone is one zone file.
type zone struct {
	origin string // with the final dot
	soa    *dns.SOA
	rest   []dns.RR // everything but the SOA
}

// newZone returns a zone that nobody has written yet. Its serial is 0: the
// first change makes it 1.
func newZone(name, nameServer string) *zone {
	origin := dns.Fqdn(name)
	head := func(t uint16) dns.RR_Header {
		return dns.RR_Header{Name: origin, Rrtype: t, Class: dns.ClassINET, Ttl: zoneTTL}
	}
	return &zone{
		origin: origin,
		soa: &dns.SOA{Hdr: head(dns.TypeSOA), Ns: dns.Fqdn(nameServer), Mbox: "hostmaster." + origin,
			Refresh: refresh, Retry: retry, Expire: expire, Minttl: negativeTTL},
		rest: []dns.RR{&dns.NS{Hdr: head(dns.TypeNS), Ns: dns.Fqdn(nameServer)}},
	}
}

// parseZone reads and checks a zone file.
func parseZone(name string, text []byte) (*zone, error) {
	z := &zone{origin: dns.Fqdn(name)}
	p := dns.NewZoneParser(bytes.NewReader(text), z.origin, name+".zone")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if soa, is := rr.(*dns.SOA); is {
			if z.soa != nil {
				return nil, errors.New("more than one SOA record")
			}
			z.soa = soa
			continue
		}
		z.rest = append(z.rest, rr)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return z, z.check()
}

// check says everything that keeps a name server from loading z.
func (z *zone) check() error {
	var problems []error
	if z.soa == nil {
		problems = append(problems, errors.New("no SOA record"))
	} else if !sameName(z.soa.Hdr.Name, z.origin) {
		problems = append(problems, fmt.Errorf("the SOA record is of %s, not of %s", z.soa.Hdr.Name, z.origin))
	}
	servers := 0
	kinds := map[string]map[uint16]int{}
	for _, rr := range z.rest {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		if !dns.IsSubDomain(z.origin, name) {
			problems = append(problems, fmt.Errorf("%s is outside of the zone", h.Name))
		}
		if h.Rrtype == dns.TypeNS && name == z.origin {
			servers++
		}
		if kinds[name] == nil {
			kinds[name] = map[uint16]int{}
		}
		kinds[name][h.Rrtype]++
	}
	if servers == 0 {
		problems = append(problems, errors.New("no NS record"))
	}
	for name, k := range kinds {
		if k[dns.TypeCNAME] > 1 || k[dns.TypeCNAME] == 1 && len(k) > 1 {
			problems = append(problems, fmt.Errorf("%s has a CNAME and something else", name))
		}
	}
	return errors.Join(problems...)
}

// text returns z as a master file, records sorted by name and type.
func (z *zone) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n", z.origin)
	b.WriteString(z.soa.String() + "\n")
	rest := slices.Clone(z.rest)
	slices.SortStableFunc(rest, func(a, b dns.RR) int {
		return cmp.Or(
			cmp.Compare(reversed(a.Header().Name), reversed(b.Header().Name)),
			cmp.Compare(a.Header().Rrtype, b.Header().Rrtype),
			cmp.Compare(a.String(), b.String()))
	})
	for _, rr := range rest {
		b.WriteString(rr.String() + "\n")
	}
	return []byte(b.String())
}

// reversed turns a name's labels around, so that a cluster's records stand
// together.
func reversed(name string) string {
	labels := dns.SplitDomainName(dns.CanonicalName(name))
	slices.Reverse(labels)
	return strings.Join(labels, " ")
}

func sameName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }
