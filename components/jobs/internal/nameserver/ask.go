package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/sethvargo/go-retry"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
)

// queryTimeout bounds one question to one server.
const queryTimeout = 5 * time.Second

// How often what must become visible is looked for.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = 5 * time.Second
)

// ask returns the records of a name and type at one server. No such name is no
// error.
func ask(ctx context.Context, server, name string, typ uint16) ([]dns.RR, error) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	m.RecursionDesired = false
	c := dns.Client{Net: "tcp", Timeout: queryTimeout}
	answer, _, err := c.ExchangeContext(ctx, m, server)
	switch {
	case err != nil:
		return nil, exit.Later(fmt.Errorf("ask %s for %s: %w", server, name, err))
	case answer.Rcode == dns.RcodeServerFailure:
		return nil, exit.Later(fmt.Errorf("ask %s for %s: the server failed (SERVFAIL)", server, name))
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("ask %s for %s: it answered %s: want an authoritative server of the zone", server, name, dns.RcodeToString[answer.Rcode])
	case !answer.Authoritative:
		return nil, fmt.Errorf("ask %s for %s: it is not authoritative for the zone", server, name)
	}
	return slices.DeleteFunc(answer.Answer, func(rr dns.RR) bool {
		return rr.Header().Rrtype != typ || !strings.EqualFold(rr.Header().Name, dns.Fqdn(name))
	}), nil
}

// everywhere waits until holds is true of what every server answers. The error
// says which does not.
func everywhere(ctx context.Context, servers []string, what string, holds func(server string) (bool, error)) error {
	var last error
	look := retry.WithCappedDuration(lastLook, retry.NewExponential(firstLook))
	err := retry.Do(ctx, look, func(context.Context) error {
		for _, server := range servers {
			ok, err := holds(server)
			if err == nil && !ok {
				err = exit.Later(fmt.Errorf("%s does not answer with %s yet", server, what))
			}
			if err == nil {
				continue
			}
			last = err
			if exit.Code(err) == exit.TryAgain {
				return retry.RetryableError(err)
			}
			return err
		}
		return nil
	})
	if err != nil && ctx.Err() != nil && last != nil {
		return exit.Later(fmt.Errorf("wait for the name servers: %w", last))
	}
	return err
}

// authoritative finds the zone of a name, and its servers, by asking: first the
// known servers, else the machine's resolver.
func authoritative(ctx context.Context, name string, known []string) (zone string, servers []string, err error) {
	if len(known) > 0 {
		zone, err = zoneAt(ctx, known[0], name)
		return zone, known, err
	}
	for at := dns.Fqdn(name); at != "."; {
		hosts, err := net.DefaultResolver.LookupNS(ctx, at)
		var missing *net.DNSError
		switch {
		case err == nil:
			for _, h := range hosts {
				servers = append(servers, net.JoinHostPort(h.Host, "53"))
			}
			return at, servers, nil
		case errors.As(err, &missing) && missing.IsNotFound:
			_, rest, _ := strings.Cut(at, ".")
			if at = rest; at == "" {
				at = "."
			}
		default:
			return "", nil, exit.Later(fmt.Errorf("find the zone of %s: %w", name, err))
		}
	}
	return "", nil, fmt.Errorf("%s is in no zone that the resolver knows: delegate it, or name its servers", name)
}

// zoneAt finds the closest zone of a name that a server has.
func zoneAt(ctx context.Context, server, name string) (string, error) {
	for at := dns.Fqdn(name); at != "."; {
		m := new(dns.Msg).SetQuestion(at, dns.TypeSOA)
		m.RecursionDesired = false
		c := dns.Client{Net: "tcp", Timeout: queryTimeout}
		answer, _, err := c.ExchangeContext(ctx, m, server)
		if err != nil {
			return "", exit.Later(fmt.Errorf("ask %s for the zone of %s: %w", server, name, err))
		}
		for _, rr := range slices.Concat(answer.Answer, answer.Ns) {
			if soa, ok := rr.(*dns.SOA); ok && answer.Authoritative {
				return dns.CanonicalName(soa.Hdr.Name), nil
			}
		}
		_, rest, _ := strings.Cut(at, ".")
		if at = rest; at == "" {
			at = "."
		}
	}
	return "", fmt.Errorf("%s has no zone for %s: create it there, or use another base domain", server, name)
}

func joined(txt *dns.TXT) string { return strings.Join(txt.Txt, "") }
