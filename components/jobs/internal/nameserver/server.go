package nameserver

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/libdns/cloudflare"
	"github.com/libdns/googleclouddns"
	"github.com/libdns/route53"
	"github.com/miekg/dns"
)

// Server is a DNS provider.
type Server struct {
	writer  writer
	servers []string // to ask; none = those of the zone, found by the resolver
}

// algorithms are those of TSIG keys.
var algorithms = map[string]string{"hmac-sha256": dns.HmacSHA256, "hmac-sha384": dns.HmacSHA384, "hmac-sha512": dns.HmacSHA512}

// Open reads where a provider is:
//
//	rfc2136://host:port[?key=NAME&algorithm=hmac-sha256&secretFile=FILE]
//	route53://[?region=…]         credentials as the AWS SDK finds them
//	googleclouddns://PROJECT      application default credentials
//	cloudflare://?tokenFile=FILE
//
// servers=host:port,… names the authoritative servers to ask; they are found by
// the machine's resolver otherwise, and for rfc2136 are the server itself.
// Secrets are read from files. The error names every problem.
func Open(address string) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("DNS provider: want a URL such as rfc2136://ns1.example.com:53?key=NAME&secretFile=FILE")
	}
	query := u.Query()
	var problems []error
	known := map[string][]string{"rfc2136": {"key", "algorithm", "secretFile"}, "route53": {"region"}, "googleclouddns": {}, "cloudflare": {"tokenFile"}}
	for name := range query {
		if name != "servers" && !slices.Contains(known[u.Scheme], name) {
			problems = append(problems, fmt.Errorf("unknown parameter %q", name))
		}
	}
	s := &Server{}
	if list := query.Get("servers"); list != "" {
		s.servers = strings.Split(list, ",")
	}
	switch u.Scheme {
	case "rfc2136":
		s.writer, err = openUpdates(u, query)
		if len(s.servers) == 0 {
			s.servers = []string{u.Host}
		}
	case "route53":
		s.writer = provider{"Route 53", &route53.Provider{Region: query.Get("region"), WaitForRoute53Sync: true}}
	case "googleclouddns":
		if s.writer = (provider{"Google Cloud DNS", &googleclouddns.Provider{Project: u.Host}}); u.Host == "" {
			err = errors.New("want the project: googleclouddns://PROJECT")
		}
	case "cloudflare":
		var token string
		token, err = secret(query.Get("tokenFile"), "tokenFile")
		s.writer = provider{"Cloudflare", &cloudflare.Provider{APIToken: token}}
	default:
		err = fmt.Errorf("%q: want rfc2136, route53, googleclouddns or cloudflare", u.Scheme)
	}
	for _, server := range s.servers {
		if _, _, splitErr := net.SplitHostPort(server); splitErr != nil {
			problems = append(problems, fmt.Errorf("server %q: want host:port", server))
		}
	}
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, fmt.Errorf("DNS provider: %w", err)
	}
	return s, nil
}

func openUpdates(u *url.URL, query url.Values) (writer, error) {
	w := updates{address: u.Host}
	if query.Get("key") == "" {
		if query.Get("secretFile") != "" || query.Get("algorithm") != "" {
			return w, errors.New("want the key's name with its secretFile: key=NAME")
		}
		return w, nil
	}
	w.key = dns.Fqdn(query.Get("key"))
	var ok bool
	var err error
	if w.algorithm, ok = algorithms[strings.ToLower(query.Get("algorithm"))]; !ok && query.Get("algorithm") != "" {
		err = fmt.Errorf("algorithm %q: want hmac-sha256, hmac-sha384 or hmac-sha512", query.Get("algorithm"))
	} else if !ok {
		w.algorithm = dns.HmacSHA256
	}
	var secretErr error
	if w.secret, secretErr = secret(query.Get("secretFile"), "secretFile"); secretErr == nil {
		if _, decodeErr := base64.StdEncoding.DecodeString(w.secret); decodeErr != nil {
			secretErr = errors.New("secretFile: its content is not base64")
		}
	}
	return w, errors.Join(err, secretErr)
}

func secret(file, parameter string) (string, error) {
	if file == "" {
		return "", fmt.Errorf("%s: missing: secrets come from files", parameter)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", parameter, err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (s *Server) authoritative(ctx context.Context, name string) (zone string, servers []string, err error) {
	return authoritative(ctx, name, s.servers)
}
