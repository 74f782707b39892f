package auth

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	fetchTimeout = 5 * time.Second
	maxFetched   = 1 << 20 // bytes of a discovery document or a key set
)

// fetcher returns how an issuer's keys are fetched. Files that are named must
// be there.
func fetcher(i Issuer) (func(context.Context) ([]jose.JSONWebKey, error), error) {
	if i.JWKSFile != "" {
		return func(context.Context) ([]jose.JSONWebKey, error) { return readKeys(i.JWKSFile) }, nil
	}
	client, err := httpClient(i)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]jose.JSONWebKey, error) {
		// The keys are everybody's: they are fetched to the end although the one request is given up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		from := i.JWKSURL
		if from == "" {
			var err error
			if from, err = discover(ctx, client, i); err != nil {
				return nil, err
			}
		}
		return fetchKeys(ctx, client, from)
	}, nil
}

// discover asks where the issuer keeps its keys.
func discover(ctx context.Context, client *http.Client, i Issuer) (string, error) {
	base := strings.TrimSuffix(strings.TrimSuffix(i.DiscoveryURL, "/"), "/.well-known/openid-configuration")
	provider, err := oidc.NewProvider(oidc.InsecureIssuerURLContext(oidc.ClientContext(ctx, client), i.Issuer), base)
	if err != nil {
		return "", fmt.Errorf("discover: %w", err)
	}
	var said struct {
		Issuer  string `json:"issuer"`
		JWKSURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&said); err != nil {
		return "", fmt.Errorf("discover: %w", err)
	}
	if said.Issuer != i.Issuer { // go-oidc leaves that out when the document stands elsewhere than at the issuer
		return "", fmt.Errorf("discover: %s speaks for issuer %q", base, said.Issuer)
	}
	if err := fetchable(said.JWKSURL); err != nil {
		return "", fmt.Errorf("discover: jwks_uri %w", err)
	}
	return said.JWKSURL, nil
}

func fetchKeys(ctx context.Context, client *http.Client, from string) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: %s answered %s", from, resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return parseKeys(text)
}

func readKeys(file string) ([]jose.JSONWebKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return parseKeys(text)
}

// parseKeys reads a key set, passing over keys of kinds that it does not know.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("read keys: it is not a JSON Web Key Set")
	}
	var out []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil {
			out = append(out, key)
		}
	}
	return out, nil
}

// httpClient reaches an issuer: bounded, without redirects, with the
// configured CA and token.
func httpClient(i Issuer) (*http.Client, error) {
	configured, err := url.Parse(cmp.Or(i.DiscoveryURL, i.JWKSURL))
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", i.Issuer, err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: fetchTimeout, IdleConnTimeout: time.Minute}
	if i.CAFile != "" {
		pem, err := os.ReadFile(i.CAFile)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: caFile: %w", i.Issuer, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("issuer %s: caFile: %s has no certificate in PEM", i.Issuer, i.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport:     authorized{next: transport, tokenFile: i.TokenFile, host: configured.Host},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// authorized sends the token of a file along, to the configured host and not to
// another that a discovery document names, and bounds what is read.
type authorized struct {
	next      http.RoundTripper
	tokenFile string // "" = none
	host      string // with the port, if there is one
}

func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	if a.tokenFile != "" && req.URL.Host == a.host {
		token, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read tokenFile: %w", err)
		}
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := a.next.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxFetched)
	}
	return resp, err
}
