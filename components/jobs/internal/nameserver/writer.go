package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
)

// writer changes records of a zone.
type writer interface {
	// claim adds a mark where there is none yet, else it returns errMarked: for
	// certain if the provider can, as far as it sees otherwise.
	claim(ctx context.Context, zone string, mark dns.RR) error
	add(ctx context.Context, zone string, records ...dns.RR) error
	set(ctx context.Context, zone string, records ...dns.RR) error // instead of what has their names and types
	remove(ctx context.Context, zone string, records ...dns.RR) error
}

var errMarked = errors.New("the name is marked already")

// updates is a server that takes dynamic updates.
type updates struct {
	address   string
	key       string // name of the TSIG key; "" = updates are not signed
	secret    string // base64
	algorithm string
}

func (u updates) claim(ctx context.Context, zone string, mark dns.RR) error {
	m := new(dns.Msg).SetUpdate(zone)
	m.RRsetNotUsed([]dns.RR{mark})
	m.Insert([]dns.RR{mark})
	return u.send(ctx, m)
}

func (u updates) add(ctx context.Context, zone string, records ...dns.RR) error {
	m := new(dns.Msg).SetUpdate(zone)
	m.Insert(records)
	return u.send(ctx, m)
}

func (u updates) set(ctx context.Context, zone string, records ...dns.RR) error {
	m := new(dns.Msg).SetUpdate(zone)
	m.RemoveRRset(records)
	m.Insert(records)
	return u.send(ctx, m)
}

func (u updates) remove(ctx context.Context, zone string, records ...dns.RR) error {
	m := new(dns.Msg).SetUpdate(zone)
	m.Remove(records)
	return u.send(ctx, m)
}

// fudge is how far the clocks may be apart, in seconds.
const fudge = 300

func (u updates) send(ctx context.Context, m *dns.Msg) error {
	c := dns.Client{Net: "tcp", Timeout: queryTimeout}
	if u.key != "" {
		m.SetTsig(u.key, u.algorithm, fudge, time.Now().Unix())
		c.TsigSecret = map[string]string{u.key: u.secret}
	}
	answer, _, err := c.ExchangeContext(ctx, m, u.address)
	var network net.Error
	switch {
	case errors.As(err, &network), err != nil && answer == nil:
		return exit.Later(fmt.Errorf("update %s at %s: %w", m.Question[0].Name, u.address, err))
	case answer.Rcode == dns.RcodeYXRrset:
		return errMarked
	case answer.Rcode == dns.RcodeServerFailure:
		return exit.Later(fmt.Errorf("update %s at %s: the server failed (SERVFAIL)", m.Question[0].Name, u.address))
	case answer.Rcode == dns.RcodeNotAuth:
		return fmt.Errorf("update %s at %s: the server does not accept the key %q, or is not authoritative for the zone (NOTAUTH): compare name, algorithm and secret with the server's",
			m.Question[0].Name, u.address, u.key)
	case answer.Rcode == dns.RcodeRefused:
		return fmt.Errorf("update %s at %s: refused: allow the key %q to update the zone", m.Question[0].Name, u.address, u.key)
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("update %s at %s: the server answered %s", m.Question[0].Name, u.address, dns.RcodeToString[answer.Rcode])
	case err != nil: // a signature that is not the server's
		return fmt.Errorf("update %s at %s: check the answer's signature: %w", m.Question[0].Name, u.address, err)
	}
	return nil
}

// library is a provider of which libdns knows the API.
type library interface {
	libdns.RecordAppender
	libdns.RecordSetter
	libdns.RecordDeleter
}

// provider writes through a library. What fails there may pass: the libraries do
// not say what is final.
type provider struct {
	name string
	library
}

func (p provider) claim(ctx context.Context, zone string, mark dns.RR) error {
	return p.add(ctx, zone, mark)
}

func (p provider) add(ctx context.Context, zone string, records ...dns.RR) error {
	_, err := p.AppendRecords(ctx, zone, converted(zone, records))
	return p.later("add records to", zone, err)
}

func (p provider) set(ctx context.Context, zone string, records ...dns.RR) error {
	_, err := p.SetRecords(ctx, zone, converted(zone, records))
	return p.later("set records of", zone, err)
}

func (p provider) remove(ctx context.Context, zone string, records ...dns.RR) error {
	_, err := p.DeleteRecords(ctx, zone, converted(zone, records))
	return p.later("remove records from", zone, err)
}

func (p provider) later(what, zone string, err error) error {
	if err == nil {
		return nil
	}
	return exit.Later(fmt.Errorf("%s %s at %s: %w", what, zone, p.name, err))
}

// converted are records as libdns has them: names relative to the zone.
func converted(zone string, records []dns.RR) []libdns.Record {
	out := make([]libdns.Record, 0, len(records))
	for _, rr := range records {
		h := rr.Header()
		r := libdns.RR{Name: libdns.RelativeName(h.Name, zone), TTL: time.Duration(h.Ttl) * time.Second, Type: dns.TypeToString[h.Rrtype]}
		switch rr := rr.(type) {
		case *dns.TXT:
			r.Data = joined(rr)
		case *dns.CNAME:
			r.Data = rr.Target
		}
		out = append(out, r)
	}
	return out
}
