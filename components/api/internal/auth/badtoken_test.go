package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// badTokens are what must never be admitted, by what is wrong with them.
func badTokens(i *issuer, now time.Time) map[string]string {
	bad := map[string]string{}
	good := i.token(now, nil)
	parts := strings.Split(good, ".")
	payload := i.claims(now, nil)

	// Not a token.
	for n, text := range []string{"", " ", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "null", "{}", "Bearer", good + ".", "." + good, good + "." + parts[2],
		good + "=", good + "\n", good + "\x00", " " + good, strings.Repeat(".", 1000), strings.Repeat("a", maxToken-1), parts[0] + "." + parts[1] + ".",
		parts[0] + ".." + parts[2], "." + parts[1] + "." + parts[2], parts[1] + "." + parts[0] + "." + parts[2], good[:len(good)-1], good[1:],
		`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`} {
		bad[fmt.Sprintf("not a token %d", n)] = text
	}
	bad["1 MB"] = good + strings.Repeat("a", 1_000_000)
	bad["1 MiB of dots"] = strings.Repeat(".", 1<<20)
	bad["1 MB with a good signature"] = i.token(now, map[string]any{"padding": strings.Repeat("x", 750_000)})
	bad["a byte more than the longest"] = good + strings.Repeat("a", maxToken+1-len(good))

	// Algorithms.
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS512", "ES384", "ES512", "EdDSA", "rs256", "RS256 ", "RSA1_5", "dir"} {
		head := b64(`{"alg":"` + alg + `","kid":"r1","typ":"JWT"}`)
		bad["alg "+alg+" without signature"] = head + "." + parts[1] + "."
		bad["alg "+alg+" with another's signature"] = head + "." + parts[1] + "." + parts[2]
	}
	der, _ := x509.MarshalPKIXPublicKey(i.rsa.Public())
	secrets := map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "PKCS 1": x509.MarshalPKCS1PublicKey(&i.rsa.PublicKey),
		"modulus": i.rsa.N.Bytes(), "nothing": nil, "key id": []byte("r1"),
	}
	for name, secret := range secrets {
		for _, alg := range []string{"HS256", "RS256"} { // the second: a MAC in a signature's place
			signed := b64(`{"alg":"`+alg+`","kid":"r1"}`) + "." + parts[1]
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			bad["the public key as a secret: "+name+" "+alg] = signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}
	}
	bad["RS384 by the right key"] = sign(i, jose.RS384, i.rsa, "r1", payload, nil)
	bad["PS256 by the right key"] = sign(i, jose.PS256, i.rsa, "r1", payload, nil)
	bad["ES256 under the RSA key's id"] = sign(i, jose.ES256, i.ec, "r1", payload, nil)
	bad["RS256 under the EC key's id"] = sign(i, jose.RS256, i.rsa, "e1", payload, nil)
	bad["no alg"] = b64(`{"kid":"r1"}`) + "." + parts[1] + "." + parts[2]
	bad["two algs"] = b64(`{"alg":"RS256","alg":"none","kid":"r1"}`) + "." + parts[1] + "." + parts[2]
	bad["alg is a list"] = b64(`{"alg":["RS256"],"kid":"r1"}`) + "." + parts[1] + "." + parts[2]

	// Keys that the token brings along, or names.
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	bad["another's key under our id"] = sign(i, jose.RS256, other, "r1", payload, nil)
	bad["a key in the header"] = sign(i, jose.RS256, other, "r1", payload, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: other.Public()}})
	bad["a key in the header and no id"] = sign(i, jose.RS256, other, "", payload, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: other.Public()}})
	bad["keys elsewhere"] = sign(i, jose.RS256, other, "r1", payload, map[jose.HeaderKey]any{"jku": "http://127.0.0.1:1/keys"})
	bad["a certificate elsewhere"] = sign(i, jose.RS256, other, "r1", payload, map[jose.HeaderKey]any{"x5u": "http://127.0.0.1:1/cert"})
	bad["a critical header that nobody knows"] = sign(i, jose.RS256, i.rsa, "r1", payload, map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1})
	bad["P-384"] = sign(i, jose.ES384, p384, "e1", payload, nil)
	bad["no id although there are two keys"] = sign(i, jose.RS256, i.rsa, "", payload, nil)
	for n, kid := range []string{"r2", "R1", "r1 ", "../r1", "../../../../dev/null", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/", "r1\x00", "r1'--",
		"' OR 1=1 --", "'; DROP TABLE clusters; --", "$(id)", "`id`", "|id", "%2e%2e%2fr1", "*", "r*", "", strings.Repeat("k", 8000), "r1\nr1", "é", "${jndi:ldap://x}"} {
		bad[fmt.Sprintf("key id %d", n)] = sign(i, jose.RS256, other, kid, payload, nil)
		if kid != "" {
			bad[fmt.Sprintf("our key under id %d", n)] = sign(i, jose.RS256, i.rsa, kid, payload, nil)
		}
	}
	for _, kid := range []string{"1", "null", `["r1"]`, `{"r1":1}`, "true"} {
		bad["key id is "+kid] = b64(`{"alg":"RS256","kid":`+kid+`}`) + "." + parts[1] + "." + parts[2]
	}

	// What was signed is not what is there.
	bad["another payload"] = parts[0] + "." + b64(strings.Replace(string(payload), `"ada"`, `"eve"`, 1)) + "." + parts[2]
	bad["another header"] = b64(`{"alg":"RS256","kid":"r1","typ":"x"}`) + "." + parts[1] + "." + parts[2]
	bad["no payload"] = sign(i, jose.RS256, i.rsa, "r1", nil, nil)
	for _, text := range []string{"null", "[]", `"x"`, "1", "{", `{"iss":`, "\xff\xfe", `{"iss":1}`, `{"iss":null}`, `{"iss":["` + i.URL + `"]}`} {
		bad["payload "+text] = sign(i, jose.RS256, i.rsa, "r1", []byte(text), nil)
	}
	for _, claim := range []string{"iss", "aud", "exp", "sub"} {
		bad["twice "+claim] = sign(i, jose.RS256, i.rsa, "r1", []byte(strings.Replace(string(payload), `{`, `{"`+claim+`":"x",`, 1)), nil)
	}

	// Claims.
	for name, change := range map[string]map[string]any{
		"iss missing": {"iss": nil}, "iss empty": {"iss": ""}, "iss another": {"iss": "https://evil.example.com"}, "iss with a slash": {"iss": i.URL + "/"},
		"iss in capitals": {"iss": strings.ToUpper(i.URL)}, "iss with a user": {"iss": strings.Replace(i.URL, "//", "//x@", 1)}, "iss with space": {"iss": i.URL + " "},
		"aud missing": {"aud": nil}, "aud empty": {"aud": ""}, "aud of nobody": {"aud": []string{}}, "aud another": {"aud": "hyperfleet-console"}, "aud others": {"aud": []string{"a", "b"}},
		"aud in capitals": {"aud": "HyperFleet"}, "aud is a number": {"aud": 1}, "aud is an object": {"aud": map[string]any{audience: true}}, "aud is nested": {"aud": [][]string{{audience}}}, "aud is a prefix": {"aud": "hyper"},
		"exp missing": {"exp": nil}, "exp is a text": {"exp": "never"}, "exp is a number in a text": {"exp": fmt.Sprint(now.Add(time.Hour).Unix())}, "exp is true": {"exp": true}, "exp 0": {"exp": 0}, "exp negative": {"exp": -1},
		"exp a second too long ago": {"exp": now.Add(-time.Minute - time.Second).Unix()}, "exp an hour ago": {"exp": now.Add(-time.Hour).Unix()}, "exp beyond numbers": {"exp": 1e300}, "exp a list": {"exp": []int64{now.Add(time.Hour).Unix()}},
		"nbf a second too late": {"nbf": now.Add(time.Minute + time.Second).Unix()}, "nbf an hour ahead": {"nbf": now.Add(time.Hour).Unix()}, "nbf a text": {"nbf": "now"}, "nbf beyond numbers": {"nbf": 1e300},
		"iat a second too late": {"iat": now.Add(time.Minute + time.Second).Unix()}, "iat tomorrow": {"iat": now.Add(24 * time.Hour).Unix()},
		"sub missing": {"sub": nil}, "sub empty": {"sub": ""}, "sub a number": {"sub": 7}, "sub with NUL": {"sub": "a\x00b"}, "sub with a line's end": {"sub": "ada\nlevel=error"}, "sub too long": {"sub": strings.Repeat("s", maxSubject+1)},
	} {
		bad[name] = i.token(now, change)
	}
	return bad
}

func TestBadTokensAreAll401(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	bad := badTokens(i, now.Now())
	if len(bad) < 120 {
		t.Fatalf("there are only %d", len(bad))
	}
	for range 2 { // a second time, in case one was remembered
		for name, token := range bad {
			p, h, err := admit(g, Readers, "Bearer "+token)
			if fleet.ErrorCode(err) != fleet.Unauthenticated || p.Role != 0 {
				t.Errorf("%s: answered %v as %+v", name, err, p)
			}
			if !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: WWW-Authenticate is %q", name, h.Get("WWW-Authenticate"))
			}
		}
	}
	t.Logf("%d bad tokens", len(bad))
	if n := i.fetched(); n != 1 {
		t.Errorf("keys were fetched %d times within 30 s", n)
	}
	if _, _, err := admit(g, Readers, "Bearer "+i.token(now.Now(), nil)); err != nil {
		t.Errorf("a good token after all that: %v", err)
	}
}

func TestBadHeadersAre401(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	good := i.token(now.Now(), nil)
	for _, headers := range [][]string{nil, {""}, {good}, {"Basic " + good}, {"Bearer"}, {"Bearer  " + good}, {"Bearer\t" + good}, {"Bearer " + good, "Bearer " + good}, {"Bearer " + good + ", Bearer " + good}, {"Token " + good}} {
		if _, _, err := admit(g, Readers, headers...); fleet.ErrorCode(err) != fleet.Unauthenticated {
			t.Errorf("%.20q: answered %v", headers, err)
		}
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
		if _, _, err := admit(g, Readers, scheme+good); err != nil {
			t.Errorf("%q: answered %v", scheme, err)
		}
	}
}

func TestTheLeewayIsAMinute(t *testing.T) {
	i, now := newIssuer(t), newClock()
	g := newGate(t, trusting(i), now.Now)
	at := now.Now()
	for name, change := range map[string]map[string]any{
		"exp a second within": {"exp": at.Add(-time.Minute + time.Second).Unix()}, "exp at the edge": {"exp": at.Add(-time.Minute).Unix()},
		"nbf a second within": {"nbf": at.Add(time.Minute - time.Second).Unix()}, "nbf at the edge": {"nbf": at.Add(time.Minute).Unix()},
		"iat a second within": {"iat": at.Add(time.Minute - time.Second).Unix()}, "iat at the edge": {"iat": at.Add(time.Minute).Unix()},
	} {
		if _, _, err := admit(g, Readers, "Bearer "+i.token(at, change)); err != nil {
			t.Errorf("%s: answered %v", name, err)
		}
	}
	token := i.token(at, map[string]any{"exp": at.Add(time.Minute).Unix()})
	for _, step := range []struct {
		pass time.Duration
		ok   bool
	}{{0, true}, {time.Minute, true}, {time.Minute, true}, {time.Second, false}} { // remembered, but not for longer than it holds
		now.pass(step.pass)
		if _, _, err := admit(g, Readers, "Bearer "+token); (err == nil) != step.ok {
			t.Errorf("%s after it was made: answered %v", now.Now().Sub(at), err)
		}
	}
}
