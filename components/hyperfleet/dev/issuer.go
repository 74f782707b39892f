package dev

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

const (
	issuerName    = "hyperfleet-dev"
	audience      = "hyperfleet"
	tokenLifetime = 24 * time.Hour
)

// issuer signs the tokens of one data directory. Its key is kept there, so that
// a token outlives a restart.
type issuer struct {
	signer     jose.Signer
	publicFile string // the JSON Web Key Set that the API reads
}

// holder is whom a token is for.
type holder struct {
	jwt.Claims
	Role    string `json:"role"`
	Adapter string `json:"adapter,omitempty"`
}

// openIssuer reads the key of a data directory, or makes one. What is private
// is for the directory's owner alone.
func openIssuer(dir *dataDir) (*issuer, error) {
	key, err := signingKey(dir.join("issuer.key"))
	if err != nil {
		return nil, err
	}
	i := &issuer{publicFile: dir.join("issuer.jwks")}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		return nil, fmt.Errorf("write the issuer's public key: %w", err)
	}
	if err := writePrivate(i.publicFile, public); err != nil {
		return nil, err
	}
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("sign tokens with %s: %w; remove it to have a new one made", dir.join("issuer.key"), err)
	}
	return i, nil
}

func signingKey(path string) (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &key); err != nil || key.IsPublic() || !key.Valid() {
			return key, fmt.Errorf("read the issuer's key: %s holds none; remove it to have a new one made", path)
		}
		return key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return key, fmt.Errorf("read the issuer's key: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return key, fmt.Errorf("make the issuer's key: %w", err)
	}
	key = jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	if text, err = json.Marshal(key); err != nil {
		return key, fmt.Errorf("make the issuer's key: %w", err)
	}
	return key, writePrivate(path, text)
}

// token signs a token that holds for a day.
func (i *issuer) token(subject string, h holder) (string, error) {
	now := time.Now()
	h.Claims = jwt.Claims{Issuer: issuerName, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenLifetime))}
	token, err := jwt.Signed(i.signer).Claims(h).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token for %s: %w", subject, err)
	}
	return token, nil
}

// tokens is a source of tokens for a part of the stack that may run for longer
// than one of them holds.
func (i *issuer) tokens(subject string, h holder) client.Token {
	var mu sync.Mutex
	var current string
	var until time.Time
	return func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.After(until) {
			token, err := i.token(subject, h)
			if err != nil {
				return "", err
			}
			current, until = token, now.Add(tokenLifetime/2)
		}
		return current, nil
	}
}

// trust has the API take the issuer's tokens for what they say. The adapters'
// names are what each of them may report under.
func (i *issuer) trust(c *api.Auth, adapters []string) {
	c.Issuers = []api.Issuer{{Issuer: issuerName, JWKSFile: i.publicFile, Audiences: []string{audience}}}
	all := []string{"*"}
	bind := func(b api.Binding) {
		b.Issuer, b.Tenants, b.Rate = issuerName, all, "workloads"
		c.Bindings = append(c.Bindings, b)
	}
	for _, role := range []string{"admin", "editor"} {
		bind(api.Binding{Claims: map[string]string{"role": role}, Role: role})
	}
	bind(api.Binding{Claims: map[string]string{"role": "sentinel"}, Role: "sentinel", Shards: []string{"*"}})
	for _, name := range adapters {
		bind(api.Binding{Claims: map[string]string{"role": "adapter", "adapter": name}, Role: "adapter", AdapterName: name})
	}
}
