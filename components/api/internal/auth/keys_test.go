package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestAFloodOfUnknownKeysFetchesOncePerHalfMinute(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	for round := 1; round <= 3; round++ {
		var flood sync.WaitGroup
		for n := range 50 {
			flood.Go(func() {
				token := sign(t, jose.RS256, i.rsa, fmt.Sprintf("k%d", n), i.claims(now.Now(), nil), nil)
				if _, _, err := admit(g, Readers, "Bearer "+token); fleet.ErrorCode(err) != fleet.Unauthenticated {
					t.Errorf("answered %v", err)
				}
			})
		}
		flood.Wait()
		if n := i.fetched(); n != round {
			t.Errorf("round %d: keys were fetched %d times", round, n)
		}
		now.pass(fetchEvery - time.Second)
		_, _, _ = admit(g, Readers, "Bearer "+sign(t, jose.RS256, i.rsa, "late", i.claims(now.Now(), nil), nil))
		if n := i.fetched(); n != round {
			t.Errorf("round %d: fetched again after 29 s", round)
		}
		now.pass(time.Second)
	}
}

func TestKeysRotate(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	old := i.token(now.Now(), nil)
	ec := sign(t, jose.ES256, i.ec, "e1", i.claims(now.Now(), nil), nil)
	for _, token := range []string{old, ec} {
		if _, _, err := admit(g, Readers, "Bearer "+token); err != nil {
			t.Fatal(err)
		}
	}
	next, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.publish(jose.JSONWebKey{Key: next.Public(), KeyID: "r2"})
	now.pass(fetchEvery)
	if _, _, err := admit(g, Readers, "Bearer "+sign(t, jose.RS256, next, "r2", i.claims(now.Now(), nil), nil)); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, _, err := admit(g, Readers, "Bearer "+old); fleet.ErrorCode(err) != fleet.Unauthenticated {
		t.Errorf("a token of a key that was withdrawn: %v", err)
	}
	if _, _, err := admit(g, Readers, "Bearer "+sign(t, jose.RS256, next, "", i.claims(now.Now(), nil), nil)); err != nil {
		t.Errorf("no id, and only one key: %v", err)
	}
}

func TestAWithdrawnKeyIsForgottenEvenByATokenThatIsRemembered(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	token := "Bearer " + i.token(now.Now(), nil)
	if _, _, err := admit(g, Readers, token); err != nil {
		t.Fatal(err)
	}
	i.publish(jose.JSONWebKey{Key: i.ec.Public(), KeyID: "e1"})
	now.pass(refreshAfter)
	if _, _, err := admit(g, Readers, token); err != nil {
		t.Errorf("after ten minutes: answered %v", err)
	}
	now.pass(time.Second)
	if _, _, err := admit(g, Readers, token); fleet.ErrorCode(err) != fleet.Unauthenticated {
		t.Errorf("a second later: answered %v", err)
	}
}

func TestNobodyWaitsForKeysThatTheyDoNotNeed(t *testing.T) {
	i, now := newIssuer(t), newClock()
	started, answer := make(chan struct{}), make(chan struct{})
	fetches := 0
	k := newKeys("slow", func(context.Context) ([]jose.JSONWebKey, error) {
		if fetches++; fetches == 2 {
			close(started)
			<-answer
		}
		return i.keys, nil
	}, now.Now, slog.New(slog.DiscardHandler))
	if key, _, err := k.find(t.Context(), "r1", "RS256"); key == nil || err != nil {
		t.Fatal(key, err)
	}
	now.pass(refreshAfter + time.Second)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, _ = k.find(t.Context(), "r1", "RS256")
	}()
	<-started
	if key, _, err := k.find(t.Context(), "r1", "RS256"); key == nil || err != nil { // would wait for ever
		t.Error(key, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := k.find(ctx, "r9", "RS256"); !errors.Is(err, errNoKeys) {
		t.Errorf("who needs them waits, but no longer than it likes: %v", err)
	}
	close(answer)
	<-ended
}

func TestAnIssuerThatIsAway(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	i.setDown(true)
	_, _, err := admit(g, Readers, "Bearer "+i.token(now.Now(), nil))
	if fleet.ErrorCode(err) != fleet.Unavailable {
		t.Errorf("no keys at all: answered %v", err)
	}
	i.setDown(false)
	now.pass(fetchEvery)
	token := i.token(now.Now(), nil)
	if _, _, err := admit(g, Readers, "Bearer "+token); err != nil {
		t.Errorf("it is back: %v", err)
	}
	i.setDown(true)
	now.pass(refreshAfter + time.Minute)
	if _, _, err := admit(g, Readers, "Bearer "+i.token(now.Now(), nil)); err != nil {
		t.Errorf("the keys that were fetched outlive it: %v", err)
	}
}

func TestKeysThatMustNotBeUsedAreNot(t *testing.T) {
	i, now := newIssuer(t), newClock()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	i.publish(
		jose.JSONWebKey{Key: weak.Public(), KeyID: "weak"},
		jose.JSONWebKey{Key: i.rsa.Public(), KeyID: "enc", Use: "enc"},
		jose.JSONWebKey{Key: i.rsa.Public(), KeyID: "rs512", Algorithm: "RS512"},
		jose.JSONWebKey{Key: []byte("secret"), KeyID: "oct"},
	)
	g := newGate(t, trusting(i), now.Now)
	for kid, key := range map[string]any{"weak": weak, "enc": i.rsa, "rs512": i.rsa} {
		if _, _, err := admit(g, Readers, "Bearer "+sign(t, jose.RS256, key, kid, i.claims(now.Now(), nil), nil)); fleet.ErrorCode(err) != fleet.Unauthenticated {
			t.Errorf("%s: answered %v", kid, err)
		}
	}
}

// A Kubernetes API server shows its keys only to who has a token, under a
// certificate of its own CA, and names an issuer that is not its address.
// TestATokenIsRememberedWithTheKeysThatVerifiedIt, not with those that came
// while it was looked at.
func TestATokenIsRememberedWithTheKeysThatVerifiedIt(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	token := "Bearer " + i.token(now.Now(), nil)
	without := usable([]jose.JSONWebKey{{Key: i.ec.Public(), KeyID: "e1"}}, now.Now())
	g.verifier.now = func() time.Time { // asked once the signature has held
		g.verifier.issuers[i.URL].keys.current.Store(without)
		return now.Now()
	}
	if _, _, err := admit(g, Readers, token); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admit(g, Readers, token); fleet.ErrorCode(err) != fleet.Unauthenticated {
		t.Errorf("with a key that was withdrawn: answered %v", err)
	}
}

func TestATokenOfOursGoesToTheConfiguredHostAlone(t *testing.T) {
	i, now := newIssuer(t), newClock()
	elsewhere := ""
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = r.Header.Get("Authorization")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
	}))
	t.Cleanup(keys.Close)
	said := ""
	discovery := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said = r.Header.Get("Authorization")
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": keys.URL + "/keys"})
	}))
	t.Cleanup(discovery.Close)
	c := trusting(i)
	c.Issuers[0].DiscoveryURL, c.Issuers[0].TokenFile = discovery.URL, filepath.Join(t.TempDir(), "token")
	write(t, c.Issuers[0].TokenFile, "ours\n")
	if _, _, err := admit(newGate(t, c, now.Now), Readers, "Bearer "+i.token(now.Now(), nil)); err != nil {
		t.Fatal(err)
	}
	if said != "Bearer ours" || elsewhere != "" {
		t.Errorf("the configured host was told %q, the other one %q", said, elsewhere)
	}
}

func TestKubernetesIsAnOrdinaryIssuer(t *testing.T) {
	i, now := newIssuer(t), newClock()
	const name = "https://kubernetes.default.svc.cluster.local"
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer pod-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked++
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": name, "jwks_uri": "https://" + r.Host + "/openid/v1/jwks"})
		case "/openid/v1/jwks":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
		}
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	token := filepath.Join(t.TempDir(), "token")
	write(t, ca, pemOf(server.Certificate()))
	write(t, token, "pod-token\n")
	c := DefaultConfig()
	c.Issuers = []Issuer{{Issuer: name, DiscoveryURL: server.URL, CAFile: ca, TokenFile: token, Audiences: []string{audience}}}
	c.Bindings = []Binding{{Issuer: name, Claims: map[string]string{"/kubernetes.io/serviceaccount/name": "dns-adapter"}, Role: "adapter", AdapterName: "dns", Tenants: []string{"*"}}}
	g := newGate(t, c, now.Now)
	p, _, err := admit(g, Reporters, "Bearer "+i.token(now.Now(), map[string]any{"iss": name, "aud": []string{audience},
		"sub": "system:serviceaccount:hyperfleet-system:dns-adapter", "kubernetes.io": map[string]any{"serviceaccount": map[string]any{"name": "dns-adapter"}}}))
	if err != nil || p.Role != Adapter || p.Adapter != "dns" || !p.Workload || !p.AllTenants {
		t.Errorf("admitted as %+v, %v, after %d requests", p, err, asked)
	}
}

func TestADiscoveryDocumentMustSpeakForTheIssuer(t *testing.T) {
	i, now := newIssuer(t), newClock()
	c := trusting(i)
	c.Issuers[0].Issuer, c.Bindings[0].Issuer = "https://sso.example.com", "https://sso.example.com"
	g := newGate(t, c, now.Now)
	if _, _, err := admit(g, Readers, "Bearer "+i.token(now.Now(), map[string]any{"iss": "https://sso.example.com"})); fleet.ErrorCode(err) != fleet.Unavailable {
		t.Errorf("answered %v", err)
	}
}

func TestKeysComeFromAFileOrAnAddress(t *testing.T) {
	i, now := newIssuer(t), newClock()
	file := filepath.Join(t.TempDir(), "jwks.json")
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: i.keys[:1]})
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(text), `"keys":[`, `"keys":[{"kty":"XYZ","kid":"future"},`, 1))
	for name, from := range map[string]Issuer{"file": {JWKSFile: file}, "address": {JWKSURL: i.URL + "/keys"}} {
		c := trusting(i)
		from.Issuer, from.Audiences = i.URL, []string{audience}
		c.Issuers = []Issuer{from}
		if _, _, err := admit(newGate(t, c, now.Now), Readers, "Bearer "+i.token(now.Now(), nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilesThatAreMissingAreSaidAtOnce(t *testing.T) {
	c := trusting(newIssuer(t))
	c.Issuers[0].CAFile = filepath.Join(t.TempDir(), "none.pem")
	if _, err := New(c, Deps{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("said %v", err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
