package rest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
)

// issuer signs tokens that the bed trusts; its keys are in a file.
type issuer struct {
	testing.TB
	signer jose.Signer
	config auth.Config
}

// claims of a token beside those that every token has.
type claims = map[string]any

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, public, 0o600); err != nil {
		t.Fatal(err)
	}
	c := auth.DefaultConfig()
	c.Issuers = []auth.Issuer{{Issuer: "test", JWKSFile: file, Audiences: []string{"hyperfleet"}}}
	return &issuer{TB: t, signer: signer, config: c}
}

// bind adds a binding of tokens with these claims.
func (i *issuer) bind(b auth.Binding) {
	b.Issuer = "test"
	i.config.Bindings = append(i.config.Bindings, b)
}

// header is what a request with a token of these claims carries.
func (i *issuer) header(c claims) http.Header {
	i.Helper()
	all := claims{"iss": "test", "aud": "hyperfleet", "sub": "somebody", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, c)
	token, err := jwt.Signed(i.signer).Claims(all).Serialize()
	if err != nil {
		i.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}
