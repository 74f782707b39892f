package auth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Modes of a [Config].
const (
	ModeJWT      = "jwt"      // every request but the public ones needs a token
	ModeDisabled = "disabled" // whoever asks is an admin of all tenants
)

// Rate classes of a [Binding].
const (
	People    = "people"
	Workloads = "workloads"
)

// Config is what an operator sets: the section auth of the configuration.
type Config struct {
	Mode     string    `json:"mode"`
	Issuers  []Issuer  `json:"issuers,omitempty"`
	Bindings []Binding `json:"bindings,omitempty"` // the first that fits a token counts
	Limits   Limits    `json:"limits"`
}

// Issuer is who signs tokens that are trusted. Its keys come from exactly one
// of DiscoveryURL, JWKSURL and JWKSFile.
type Issuer struct {
	Issuer       string   `json:"issuer"`                 // claim iss, to the letter
	DiscoveryURL string   `json:"discoveryURL,omitempty"` // below which /.well-known/openid-configuration is
	JWKSURL      string   `json:"jwksURL,omitempty"`
	JWKSFile     string   `json:"jwksFile,omitempty"`
	CAFile       string   `json:"caFile,omitempty"`    // PEM; default: the system's
	TokenFile    string   `json:"tokenFile,omitempty"` // bearer token for the host of discoveryURL or jwksURL, read each time
	Audiences    []string `json:"audiences"`           // claim aud must have one of them
}

// Binding makes a principal of a token.
type Binding struct {
	Issuer string `json:"issuer"`
	// Claims that the token must have: each equal to the value, or a list that
	// has it. A name that begins with / is a JSON pointer into nested claims.
	Claims      map[string]string `json:"claims"`
	Role        string            `json:"role"`
	Tenants     []string          `json:"tenants,omitempty"`     // names, or "*" alone
	TenantClaim string            `json:"tenantClaim,omitempty"` // instead: the claim that has the tenant, or a list of them
	AdapterName string            `json:"adapterName,omitempty"` // of role adapter
	Shards      []string          `json:"shards,omitempty"`      // of role sentinel: patterns such as cluster-sentinel-*
	Rate        string            `json:"rate,omitempty"`        // people or workloads; default by role
}

// Limits are requests per minute of one principal at one replica.
type Limits struct {
	PeoplePerMinute    int `json:"peoplePerMinute"`
	WorkloadsPerMinute int `json:"workloadsPerMinute"`
}

// DefaultConfig asks for tokens and trusts nobody yet.
func DefaultConfig() Config {
	return Config{Mode: ModeJWT, Limits: Limits{PeoplePerMinute: 100, WorkloadsPerMinute: 60_000}}
}

// Validate names every problem at once.
func (c Config) Validate() error {
	if c.Mode == ModeDisabled {
		return nil
	}
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf("auth."+format, args...)) }
	if c.Mode != ModeJWT {
		problem("mode: %q is not %s or %s", c.Mode, ModeJWT, ModeDisabled)
	}
	if len(c.Issuers) == 0 {
		problem("issuers: trust one at least (issuer, audiences and discoveryURL, jwksURL or jwksFile), or set auth.mode to %s by hand", ModeDisabled)
	}
	if len(c.Issuers) > 0 && len(c.Bindings) == 0 {
		problem("bindings: bind the claims of one token at least to a role, or nobody may do anything")
	}
	for _, l := range []struct {
		name  string
		value int
	}{{"peoplePerMinute", c.Limits.PeoplePerMinute}, {"workloadsPerMinute", c.Limits.WorkloadsPerMinute}} {
		if l.value < 1 || l.value > 100_000_000 {
			problem("limits.%s: %d is not between 1 and 100000000", l.name, l.value)
		}
	}
	var names []string
	for i, iss := range c.Issuers {
		iss.check(func(format string, args ...any) { problem("issuers[%d]."+format, append([]any{i}, args...)...) })
		if slices.Contains(names, iss.Issuer) {
			problem("issuers[%d].issuer: %q stands twice", i, iss.Issuer)
		}
		names = append(names, iss.Issuer)
	}
	for i, b := range c.Bindings {
		b.check(names, func(format string, args ...any) { problem("bindings[%d]."+format, append([]any{i}, args...)...) })
	}
	return errors.Join(problems...)
}

func (i Issuer) check(problem func(string, ...any)) {
	if i.Issuer == "" || strings.Contains(i.Issuer, "#") {
		problem("issuer: %q is not an issuer such as https://sso.example.com", i.Issuer)
	}
	if len(i.Audiences) == 0 || slices.Contains(i.Audiences, "") {
		problem("audiences: name what tokens for this API have as aud, such as [hyperfleet]")
	}
	sources := 0
	for _, u := range [][2]string{{"discoveryURL", i.DiscoveryURL}, {"jwksURL", i.JWKSURL}} {
		if u[1] == "" {
			continue
		}
		sources++
		if err := fetchable(u[1]); err != nil {
			problem("%s: %w", u[0], err)
		}
	}
	if i.JWKSFile != "" {
		sources++
		if i.CAFile != "" || i.TokenFile != "" {
			problem("jwksFile: a file is read without caFile and tokenFile; leave them out")
		}
	}
	if sources != 1 {
		problem("discoveryURL, jwksURL, jwksFile: give exactly one of them")
	}
}

// fetchable refuses what would send keys and tokens over a network in clear.
func fetchable(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not a URL such as https://sso.example.com, without user, query and fragment")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip.IsLoopback()) {
		return nil
	}
	return errors.New("must be https://, or http:// on the loopback interface")
}

// name is an RFC 1123 label, as tenants and adapters have.
var name = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (b Binding) check(issuers []string, problem func(string, ...any)) {
	role, known := roleNamed(b.Role)
	if !known {
		problem("role: %q is not one of %s", b.Role, strings.Join(roleNames[:], ", "))
	}
	if !slices.Contains(issuers, b.Issuer) {
		problem("issuer: %q is not one of auth.issuers", b.Issuer)
	}
	if len(b.Claims) == 0 {
		problem("claims: name one claim at least, such as {groups: fleet-admins}")
	}
	if (len(b.Tenants) > 0) == (b.TenantClaim != "") {
		problem("tenants, tenantClaim: give exactly one of them; tenants is a list of names, or [\"*\"] for all")
	}
	for _, t := range b.Tenants {
		if t != "*" && !name.MatchString(t) || t == "*" && len(b.Tenants) > 1 {
			problem("tenants: %q is not a tenant's name, nor \"*\" alone", t)
		}
	}
	if (role == Adapter) != (b.AdapterName != "") || b.AdapterName != "" && !name.MatchString(b.AdapterName) {
		problem("adapterName: %q: role adapter, and only that, has the name under which it reports", b.AdapterName)
	}
	if (role == Sentinel) != (len(b.Shards) > 0) {
		problem("shards: role sentinel, and only that, has the names of the shards that it may hold, such as [cluster-sentinel-*]")
	}
	if role == Sentinel && !slices.Equal(b.Tenants, []string{"*"}) {
		problem("tenants: role sentinel concerns the whole fleet and needs [\"*\"]")
	}
	for _, s := range b.Shards {
		if _, err := path.Match(s, ""); err != nil || s == "" {
			problem("shards: %q is not a pattern such as cluster-sentinel-*", s)
		}
	}
	if b.Rate != "" && b.Rate != People && b.Rate != Workloads {
		problem("rate: %q is not %s or %s", b.Rate, People, Workloads)
	}
}
