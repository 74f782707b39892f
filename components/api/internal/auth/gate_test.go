package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func TestTheFirstBindingThatFitsCounts(t *testing.T) {
	i, now := newIssuer(t), newClock()
	c := trusting(i)
	c.Bindings = []Binding{
		{Issuer: i.URL, Claims: map[string]string{"groups": "admins", "email_verified": "true"}, Role: "admin", Tenants: []string{"*"}, Rate: Workloads},
		{Issuer: i.URL, Claims: map[string]string{"groups": "editors"}, Role: "editor", TenantClaim: "tenant"},
		{Issuer: i.URL, Claims: map[string]string{"/realm/roles": "look"}, Role: "viewer", Tenants: []string{"a", "b"}},
		{Issuer: i.URL, Claims: map[string]string{"sub": "sentinel"}, Role: "sentinel", Tenants: []string{"*"}, Shards: []string{"us-*"}},
		{Issuer: "https://elsewhere", Claims: map[string]string{"sub": "ada"}, Role: "admin", Tenants: []string{"*"}},
	}
	c.Issuers = append(c.Issuers, Issuer{Issuer: "https://elsewhere", JWKSFile: "none", Audiences: []string{"x"}})
	g := newGate(t, c, now.Now)
	name := i.URL + "#ada"
	for what, tt := range map[string]struct {
		claims map[string]any
		want   Principal
	}{
		"all claims of a binding":               {map[string]any{"email_verified": true}, Principal{Name: name, Role: Admin, AllTenants: true, Workload: true}},
		"one of them is not enough":             {map[string]any{"email_verified": false}, Principal{}},
		"the tenant of a claim":                 {map[string]any{"groups": "editors", "tenant": "acme"}, Principal{Name: name, Role: Editor, Tenants: []string{"acme"}}},
		"the tenants of a claim":                {map[string]any{"groups": "editors", "tenant": []string{"acme", "b"}}, Principal{Name: name, Role: Editor, Tenants: []string{"acme", "b"}}},
		"no tenant":                             {map[string]any{"groups": "editors"}, Principal{}},
		"an empty list of tenants":              {map[string]any{"groups": "editors", "tenant": []string{}}, Principal{}},
		"* in a claim is no tenant":             {map[string]any{"groups": "editors", "tenant": "*"}, Principal{}},
		"a tenant that is no name":              {map[string]any{"groups": "editors", "tenant": []string{"a", "B!"}}, Principal{}},
		"tenants of the binding":                {map[string]any{"groups": nil, "realm": map[string]any{"roles": []string{"x", "look"}}}, Principal{Name: name, Role: Viewer, Tenants: []string{"a", "b"}}},
		"a nested claim that is not there":      {map[string]any{"groups": nil, "realm": "look"}, Principal{}},
		"a sentinel":                            {map[string]any{"groups": nil, "sub": "sentinel"}, Principal{Name: i.URL + "#sentinel", Role: Sentinel, AllTenants: true, Shards: []string{"us-*"}, Workload: true}},
		"another issuer's binding is not yours": {map[string]any{"groups": nil}, Principal{}},
	} {
		for range 2 { // the second time from memory
			p, _, err := admit(g, Readers, "Bearer "+i.token(now.Now(), tt.claims))
			if diff := cmp.Diff(p, tt.want); diff != "" {
				t.Errorf("%s: admitted (-), want (+):\n%s", what, diff)
			}
			if want := tt.want.Role == 0; want != (fleet.ErrorCode(err) == fleet.Forbidden) {
				t.Errorf("%s: answered %v", what, err)
			}
		}
	}
}

func TestPrincipals(t *testing.T) {
	adapter := Principal{Role: Adapter, Adapter: "dns", AllTenants: true}
	sentinel := Principal{Role: Sentinel, Shards: []string{"us-*", "eu"}, AllTenants: true}
	editor := Principal{Role: Editor, Tenants: []string{"a", "b"}}
	for what, tt := range map[string]struct{ got, want bool }{
		"an adapter reports as itself":        {adapter.MayReportAs("dns"), true},
		"and as no other":                     {adapter.MayReportAs("validation"), false},
		"an admin reports as any":             {Principal{Role: Admin}.MayReportAs("dns"), true},
		"an editor as none":                   {editor.MayReportAs(""), false},
		"nobody as none":                      {Principal{}.MayReportAs(""), false},
		"a sentinel holds what matches":       {sentinel.MayHold("us-east"), true},
		"and what is named":                   {sentinel.MayHold("eu"), true},
		"and nothing else":                    {sentinel.MayHold("eu-west"), false},
		"an adapter holds nothing":            {adapter.MayHold("us-east"), false},
		"an editor narrowed to what is seen":  {len(editor.In("a").Tenants) == 1, true},
		"and to what is not sees nothing":     {len(editor.In("c").Tenants) == 0, true},
		"all tenants narrowed are one":        {adapter.In("c").AllTenants, false},
		"an operation without a rule is shut": {check(Principal{Role: Admin, AllTenants: true}, 0) == nil, false},
		"nobody passes":                       {check(Principal{}, Readers|Public|Fleet) == nil, false},
		"the fleet is not for some tenants":   {check(editor, Readers|Fleet) == nil, false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %t", what, tt.got)
		}
	}
}

func TestRatesAreLimitedPerPrincipal(t *testing.T) {
	i, now := newIssuer(t), newClock()
	c := trusting(i)
	c.Limits = Limits{PeoplePerMinute: 100, WorkloadsPerMinute: 6000}
	c.Bindings = append(c.Bindings, Binding{Issuer: i.URL, Claims: map[string]string{"kind": "robot"}, Role: "job", Tenants: []string{"*"}})
	g := newGate(t, c, now.Now)
	ada, bob := "Bearer "+i.token(now.Now(), nil), "Bearer "+i.token(now.Now(), map[string]any{"sub": "bob"})
	robot := "Bearer " + i.token(now.Now(), map[string]any{"groups": nil, "kind": "robot", "sub": "robot"})
	for n := range 100 {
		if _, h, err := admit(g, Readers, ada); err != nil || h.Get("RateLimit-Remaining") != fmt.Sprint(99-n) || h.Get("RateLimit-Limit") != "100" {
			t.Fatalf("request %d: %v, %v", n+1, err, h)
		}
	}
	_, h, err := admit(g, Readers, ada)
	var e *fleet.Error
	if fleet.ErrorCode(err) != fleet.RateLimited {
		t.Fatalf("request 101: %v", err)
	}
	if e = err.(*fleet.Error); e.RetryAfter != 600*time.Millisecond || h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Reset") != "60" { //nolint:errorlint // it is one
		t.Errorf("Retry-After %s, %v", e.RetryAfter, h)
	}
	if _, _, err := admit(g, Readers, bob); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	for n := range 6000 {
		if _, _, err := admit(g, Readers, robot); err != nil {
			t.Fatalf("a workload's request %d: %v", n+1, err)
		}
	}
	if _, _, err := admit(g, Readers, robot); fleet.ErrorCode(err) != fleet.RateLimited {
		t.Errorf("a workload's request 6001: %v", err)
	}
	now.pass(600 * time.Millisecond)
	if _, _, err := admit(g, Readers, ada); err != nil {
		t.Errorf("when it was told to: %v", err)
	}
	if _, _, err := admit(g, Readers, ada); fleet.ErrorCode(err) != fleet.RateLimited {
		t.Errorf("and once more: %v", err)
	}
	for class, want := range map[string]float64{People: 2, Workloads: 1} {
		if got := testutil.ToFloat64(g.metrics.limited.WithLabelValues(class)); got != want {
			t.Errorf("%s: %v counted as limited, want %v", class, got, want)
		}
	}
}

func TestWhoIsForgottenBeginsAnewAndMemoryIsBounded(t *testing.T) {
	l, err := newLimiter(Limits{PeoplePerMinute: 1, WorkloadsPerMinute: 1}, newClock().Now)
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxLimited + 10 {
		if err := l.take(http.Header{}, Principal{Name: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.buckets.Len(); n != maxLimited {
		t.Errorf("%d rates are remembered", n)
	}
}

func TestEveryReasonIsCountedFromZero(t *testing.T) {
	for _, mode := range []string{ModeJWT, ModeDisabled} {
		c := trusting(newIssuer(t))
		c.Mode = mode
		registry := prometheus.NewRegistry()
		if _, err := New(c, Deps{Registry: registry, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"hyperfleet_api_auth_failures_total": len(reasons), "hyperfleet_api_rate_limited_total": 2} {
			if n, err := testutil.GatherAndCount(registry, name); err != nil || n != want {
				t.Errorf("%s: %s has %d series, want %d (%v)", mode, name, n, want, err)
			}
		}
	}
}

func TestFailuresAreCountedAndNothingOfATokenIsLogged(t *testing.T) {
	i, now := newIssuer(t), newClock()
	var log bytes.Buffer
	g, err := New(trusting(i), Deps{Registry: prometheus.NewRegistry(), Now: now.Now,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for name, token := range badTokens(i, now.Now()) {
		_, h, err := admit(g, Readers, "Bearer "+token)
		said += fmt.Sprint(err, h)
		for _, part := range strings.Split(token, ".") {
			if len(part) > 20 && (strings.Contains(log.String(), part) || strings.Contains(fmt.Sprint(err, h), part)) {
				t.Fatalf("%s: a part of the token is shown: %v %v\n%s", name, err, h, log.String())
			}
		}
		log.Reset()
	}
	for _, secret := range []string{"ada", "kid", i.URL, "r1"} {
		if strings.Contains(said, secret) {
			t.Errorf("an answer says %q", secret)
		}
	}
	_, _, _ = admit(g, Readers)
	_, _, _ = admit(g, Readers, "Bearer "+i.token(now.Now(), map[string]any{"groups": nil}))
	_, _, _ = admit(g, Sentinel, "Bearer "+i.token(now.Now(), nil))
	for _, why := range []reason{missing, malformed, tooLong, unknown, noKey, badSign, badClaims, expired, notYet, unbound, notAllowed} {
		if g.failed(why) == 0 {
			t.Errorf("%s was never counted", why)
		}
	}
}

func TestDisabledIsSaidAndAdmitsEverybody(t *testing.T) {
	var log bytes.Buffer
	g, err := New(Config{Mode: ModeDisabled}, Deps{Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	g.Warn(t.Context())
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "authentication is off") {
		t.Errorf("said %q", log.String())
	}
	if p, _, err := admit(g, Editors); err != nil || p.Role != Admin || !p.AllTenants {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestPublicOperationsNeedNoToken(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	for _, header := range []string{"", "Bearer nonsense"} {
		if p, _, err := admit(g, Public, header); err != nil || p.Role != 0 {
			t.Errorf("%q: %+v, %v", header, p, err)
		}
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	err := Config{
		Mode: "maybe", Limits: Limits{PeoplePerMinute: 0, WorkloadsPerMinute: -1},
		Issuers: []Issuer{
			{Issuer: "", Audiences: nil},
			{Issuer: "https://a", Audiences: []string{"x"}, JWKSURL: "http://sso.example.com/keys", JWKSFile: "f", CAFile: "c"},
			{Issuer: "https://a", Audiences: []string{"x"}, DiscoveryURL: "https://u:p@h"},
		},
		Bindings: []Binding{
			{Issuer: "https://b", Role: "king"},
			{Issuer: "https://a", Claims: map[string]string{"a": "b"}, Role: "adapter", Tenants: []string{"*", "a"}, TenantClaim: "t"},
			{Issuer: "https://a", Claims: map[string]string{"a": "b"}, Role: "sentinel", Tenants: []string{"A"}, Rate: "fast"},
			{Issuer: "https://a", Claims: map[string]string{"a": "b"}, Role: "viewer", Tenants: []string{"*"}, Shards: []string{"[", ""}, AdapterName: "dns"},
		},
	}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`auth.mode: "maybe"`, "auth.limits.peoplePerMinute: 0", "auth.limits.workloadsPerMinute: -1",
		"auth.issuers[0].issuer:", "auth.issuers[0].audiences:", "auth.issuers[0].discoveryURL, jwksURL, jwksFile: give exactly one",
		"auth.issuers[1].jwksURL: must be https://", "auth.issuers[1].jwksFile: a file is read without", "auth.issuers[1].discoveryURL, jwksURL, jwksFile: give exactly one",
		`auth.issuers[2].issuer: "https://a" stands twice`, "auth.issuers[2].discoveryURL: is not a URL",
		`auth.bindings[0].role: "king"`, `auth.bindings[0].issuer: "https://b" is not one of`, "auth.bindings[0].claims:", "auth.bindings[0].tenants, tenantClaim:",
		`auth.bindings[1].tenants: "*"`, "auth.bindings[1].tenants, tenantClaim:", "auth.bindings[1].adapterName:",
		"auth.bindings[2].shards:", `auth.bindings[2].tenants: "A"`, "auth.bindings[2].tenants: role sentinel", `auth.bindings[2].rate: "fast"`,
		`auth.bindings[3].shards: "["`, `auth.bindings[3].shards: ""`, "auth.bindings[3].adapterName:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not named: %s\n%v", want, err)
		}
	}
	for mode, want := range map[string]string{ModeJWT: "auth.issuers: trust one at least", "": `auth.mode: ""`} {
		if err := (Config{Mode: mode, Limits: DefaultConfig().Limits}).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	i := newIssuer(b)
	c := trusting(i)
	c.Limits.PeoplePerMinute = 100_000_000
	g := newGate(b, c, time.Now)
	r := httptest.NewRequest(http.MethodGet, "/v1/clusters", nil)
	r.Header.Set("Authorization", "Bearer "+i.token(time.Now(), nil))
	for b.Loop() {
		if _, err := g.Admit(http.Header{}, r, Readers); err != nil {
			b.Fatal(err)
		}
	}
}
