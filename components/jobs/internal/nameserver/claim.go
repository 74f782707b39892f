package nameserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Claim is what a cluster wants to be called.
type Claim struct {
	Cluster string   // id
	Tenant  string   //
	Mark    string   // name of the TXT record that says whose the names are
	Records []dns.RR // CNAMEs
}

// text is what the mark of the claim says.
func (c Claim) text() string { return "hyperfleet cluster=" + c.Cluster + " tenant=" + c.Tenant }

func (c Claim) mark() dns.RR { return textRecord(c.Mark, c.text()) }

// markTTL is that of marks and challenges, in seconds: they are asked for at
// their source.
const markTTL = 60

func textRecord(name, text string) dns.RR {
	return &dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: markTTL}, Txt: []string{text}}
}

// owner reads a mark; ok says that it is one.
func owner(text string) (cluster, tenant string, ok bool) {
	rest, is := strings.CutPrefix(text, "hyperfleet cluster=")
	cluster, tenant, cut := strings.Cut(rest, " tenant=")
	return cluster, tenant, is && cut
}

// Put makes the names lead where the claim says, and waits until every
// authoritative server answers so. Names of another tenant's cluster are an
// error; those of an earlier cluster of the same tenant are taken over: a
// tenant's names are unique, so it is gone.
func (s *Server) Put(ctx context.Context, c Claim) error {
	zone, servers, err := s.authoritative(ctx, c.Mark)
	if err != nil {
		return err
	}
	if err := s.own(ctx, zone, servers, c); err != nil {
		return err
	}
	for _, want := range c.Records {
		is := func(server string) (bool, error) {
			have, err := ask(ctx, server, want.Header().Name, want.Header().Rrtype)
			return len(have) == 1 && dns.IsDuplicate(have[0], want) && have[0].Header().Ttl == want.Header().Ttl, err
		}
		there, err := is(servers[0])
		if err == nil && !there {
			err = s.writer.set(ctx, zone, want)
		}
		if err != nil {
			return err
		}
		if err := everywhere(ctx, servers, want.Header().Name, is); err != nil {
			return err
		}
	}
	return nil
}

// own puts the mark, if it is not there, and makes sure that it is the only one.
func (s *Server) own(ctx context.Context, zone string, servers []string, c Claim) error {
	marks, err := marksAt(ctx, servers[0], c.Mark)
	if err != nil {
		return err
	}
	if err := free(ctx, servers[0], c, marks); err != nil {
		return err
	}
	switch {
	case slices.Contains(marks, c.text()):
	case len(marks) > 0: // of an earlier cluster of the tenant
		err = s.writer.set(ctx, zone, c.mark())
	default:
		err = s.writer.claim(ctx, zone, c.mark())
	}
	if errors.Is(err, errMarked) { // somebody else was first; now it shows who
		return s.own(ctx, zone, servers, c)
	}
	if err != nil {
		return err
	}
	err = everywhere(ctx, servers, c.Mark, func(server string) (bool, error) {
		marks, err = marksAt(ctx, server, c.Mark)
		return slices.Contains(marks, c.text()), err
	})
	if err != nil {
		return err
	}
	for _, mark := range marks {
		_, tenant, _ := owner(mark)
		switch {
		case mark == c.text():
		case tenant == c.Tenant:
			err = s.writer.remove(ctx, zone, textRecord(c.Mark, mark))
		case mark < c.text(): // the other stays: both see it so
			if err := s.writer.remove(ctx, zone, c.mark()); err != nil {
				return err
			}
			return taken(c.Mark)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// free says why the names cannot be the claim's.
func free(ctx context.Context, server string, c Claim, marks []string) error {
	for _, mark := range marks {
		if _, tenant, _ := owner(mark); tenant != c.Tenant && !slices.Contains(marks, c.text()) {
			return taken(c.Mark)
		}
	}
	if len(marks) > 0 {
		return nil
	}
	for _, r := range c.Records {
		for _, typ := range []uint16{dns.TypeCNAME, dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
			have, err := ask(ctx, server, r.Header().Name, typ)
			if err != nil {
				return err
			}
			if len(have) > 0 {
				return fmt.Errorf("%s has a record that is none of a cluster's: choose another dns.baseDomain or name", r.Header().Name)
			}
		}
	}
	return nil
}

func taken(mark string) error {
	_, base, _ := strings.Cut(strings.TrimSuffix(mark, "."), ".")
	return fmt.Errorf("%s belongs to a cluster of another tenant: choose another dns.baseDomain or name", base)
}

// Drop removes the names, if they are the claim's. The mark goes last, so that a
// run that was cut off can be repeated.
func (s *Server) Drop(ctx context.Context, c Claim) (dropped bool, err error) {
	zone, servers, err := s.authoritative(ctx, c.Mark)
	if err != nil {
		return false, err
	}
	marks, err := marksAt(ctx, servers[0], c.Mark)
	at := slices.IndexFunc(marks, func(mark string) bool { cluster, _, _ := owner(mark); return cluster == c.Cluster })
	if err != nil || at < 0 {
		return false, err
	}
	if len(marks) == 1 {
		for _, r := range c.Records {
			have, err := ask(ctx, servers[0], r.Header().Name, r.Header().Rrtype)
			if err == nil && len(have) > 0 {
				err = s.writer.remove(ctx, zone, have...)
			}
			if err != nil {
				return false, err
			}
		}
	}
	return true, s.writer.remove(ctx, zone, textRecord(c.Mark, marks[at]))
}

// marksAt are the marks at a name, sorted.
func marksAt(ctx context.Context, server, name string) ([]string, error) {
	records, err := ask(ctx, server, name, dns.TypeTXT)
	var all []string
	for _, rr := range records {
		if txt, ok := rr.(*dns.TXT); ok {
			if _, _, is := owner(joined(txt)); is {
				all = append(all, joined(txt))
			}
		}
	}
	slices.Sort(all)
	return all, err
}

// Present publishes a TXT record beside those that are there, and waits until
// every authoritative server answers with it; Withdraw removes it.
func (s *Server) Present(ctx context.Context, name, text string) error {
	zone, servers, err := s.authoritative(ctx, name)
	if err != nil {
		return err
	}
	if err := s.writer.add(ctx, zone, textRecord(name, text)); err != nil {
		return err
	}
	return everywhere(ctx, servers, name, func(server string) (bool, error) {
		records, err := ask(ctx, server, name, dns.TypeTXT)
		return slices.ContainsFunc(records, func(rr dns.RR) bool {
			txt, ok := rr.(*dns.TXT)
			return ok && joined(txt) == text
		}), err
	})
}

// Withdraw removes what Present has published.
func (s *Server) Withdraw(ctx context.Context, name, text string) error {
	zone, _, err := s.authoritative(ctx, name)
	if err != nil {
		return err
	}
	return s.writer.remove(ctx, zone, textRecord(name, text))
}
