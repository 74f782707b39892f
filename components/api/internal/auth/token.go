package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	leeway     = time.Minute
	maxToken   = 16 << 10 // bytes; longer ones are not looked at
	maxSubject = 512      // bytes of claim sub
	maxCached  = 16 << 10 // verified tokens that are remembered
)

// reason is why a request was not admitted: a label of the metric.
type reason string

const (
	missing     reason = "missing"      // no bearer token
	malformed   reason = "malformed"    // not one JWT of an allowed algorithm
	tooLong     reason = "too_long"     //
	unknown     reason = "issuer"       // of nobody that is trusted
	noKey       reason = "key"          // signed by no key of its issuer
	badSign     reason = "signature"    //
	badClaims   reason = "claims"       // iss, aud, exp or sub missing or wrong
	expired     reason = "expired"      //
	notYet      reason = "not_yet"      // nbf or iat in the future
	keysAway    reason = "keys_away"    // the issuer's keys cannot be fetched
	unbound     reason = "unbound"      // no binding fits
	notAllowed  reason = "not_allowed"  // the role does not allow the operation
	otherTenant reason = "other_tenant" // the operation needs all tenants
)

var reasons = [...]reason{missing, malformed, tooLong, unknown, noKey, badSign, badClaims, expired, notYet, keysAway, unbound, notAllowed, otherTenant}

func (r reason) Error() string { return string(r) }

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

// verifier turns tokens into principals.
type verifier struct {
	issuers  map[string]trusted
	bindings []Binding
	now      func() time.Time
	verified *lru.Cache[[sha256.Size]byte, verified]
}

// trusted is an issuer with its keys.
type trusted struct {
	audiences jwt.Audience
	keys      *keys
}

// verified is a token that held, until it expires or its issuer's keys change
// or are due to be fetched again.
type verified struct {
	principal Principal
	bound     bool
	until     time.Time
	keys      *keys
	set       *keySet
}

// principal says who holds the token. Its error is a reason. The work for a
// token that does not hold is bounded: what is cheap is looked at first.
func (v *verifier) principal(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, tooLong
	}
	hash := sha256.Sum256([]byte(token))
	found, ok := v.verified.Get(hash)
	if ok && v.holds(found) {
		return found.principal, found.err()
	}
	found, err := v.verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	v.verified.Add(hash, found)
	return found.principal, found.err()
}

// holds says whether what was found out of a token is still true.
func (v *verifier) holds(f verified) bool {
	return !v.now().Add(-leeway).After(f.until) && f.keys.current.Load() == f.set && !f.keys.stale(f.set)
}

func (f verified) err() error {
	if !f.bound {
		return unbound
	}
	return nil
}

func (v *verifier) verify(ctx context.Context, token string) (verified, error) {
	if !compact(token) {
		return verified{}, malformed
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return verified{}, malformed
	}
	var unsafe struct { // read only to choose the key
		Issuer string `json:"iss"`
	}
	if parsed.UnsafeClaimsWithoutVerification(&unsafe) != nil {
		return verified{}, malformed
	}
	issuer, ok := v.issuers[unsafe.Issuer]
	if !ok {
		return verified{}, unknown
	}
	header := parsed.Headers[0]
	key, set, err := issuer.keys.find(ctx, header.KeyID, header.Algorithm)
	switch {
	case err != nil:
		return verified{}, keysAway
	case key == nil:
		return verified{}, noKey
	}
	var claims jwt.Claims
	all := map[string]any{}
	switch err := parsed.Claims(key.Key, &claims, &all); {
	case errors.Is(err, jose.ErrCryptoFailure):
		return verified{}, badSign
	case err != nil:
		return verified{}, badClaims
	}
	if err := v.check(claims, unsafe.Issuer, issuer.audiences); err != nil {
		return verified{}, err
	}
	out := verified{until: claims.Expiry.Time(), keys: issuer.keys, set: set}
	out.principal, out.bound = bind(v.bindings, claims.Issuer, claims.Subject, all)
	return out, nil
}

// compact says whether a token has the three parts of a compact JWS, and
// nothing that a lenient decoder would pass over.
func compact(token string) bool {
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return dots == 2
}

func (v *verifier) check(c jwt.Claims, issuer string, audiences jwt.Audience) error {
	if c.Expiry == nil || !sane(c.Subject) {
		return badClaims
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: audiences, Time: v.now()}, leeway)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return expired
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return notYet
	case err != nil:
		return badClaims
	}
	return nil
}

// sane says whether a subject can stand in logs and in the audit.
func sane(subject string) bool {
	return subject != "" && len(subject) <= maxSubject && utf8.ValidString(subject) && !strings.ContainsFunc(subject, unicode.IsControl)
}
