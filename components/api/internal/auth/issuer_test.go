package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const audience = "hyperfleet"

// issuer is an identity provider in this process.
type issuer struct {
	testing.TB
	*httptest.Server
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetches int  // of keys
	down    bool // answers 500
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{TB: t}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.keys = []jose.JSONWebKey{{Key: i.rsa.Public(), KeyID: "r1", Use: "sig", Algorithm: "RS256"}, {Key: i.ec.Public(), KeyID: "e1"}}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.down:
		w.WriteHeader(http.StatusInternalServerError)
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	case r.URL.Path == "/keys":
		i.fetches++
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// publish replaces the keys.
func (i *issuer) publish(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// sign makes a token of any payload.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, payload []byte, headers map[jose.HeaderKey]any) string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	if kid != "" {
		options.ExtraHeaders["kid"] = kid
	}
	for name, value := range headers {
		options.ExtraHeaders[name] = value
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// token is a good token with some claims changed; nil takes one away.
func (i *issuer) token(now time.Time, change map[string]any) string {
	i.Helper()
	return sign(i, jose.RS256, i.rsa, "r1", i.claims(now, change), nil)
}

func (i *issuer) claims(now time.Time, change map[string]any) []byte {
	i.Helper()
	claims := map[string]any{"iss": i.URL, "aud": audience, "sub": "ada", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": []string{"all", "admins"}}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		i.Fatal(err)
	}
	return text
}

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// trusting is a configuration in which the issuer's admins are admins.
func trusting(i *issuer) Config {
	c := DefaultConfig()
	c.Issuers = []Issuer{{Issuer: i.URL, DiscoveryURL: i.URL, Audiences: []string{audience, "other"}}}
	c.Bindings = []Binding{{Issuer: i.URL, Claims: map[string]string{"groups": "admins"}, Role: "admin", Tenants: []string{"*"}}}
	return c
}

func newGate(t testing.TB, c Config, now func() time.Time) *Gate {
	t.Helper()
	g, err := New(c, Deps{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// admit asks with the given Authorization headers.
func admit(g *Gate, rule Role, authorization ...string) (Principal, http.Header, error) {
	r := httptest.NewRequest(http.MethodGet, "/v1/clusters", nil)
	r.Header["Authorization"] = authorization
	h := http.Header{}
	p, err := g.Admit(h, r, rule)
	return p, h, err
}

func (g *Gate) failed(why reason) float64 {
	return testutil.ToFloat64(g.metrics.failures.WithLabelValues(string(why)))
}
