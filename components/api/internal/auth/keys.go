package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	fetchEvery   = 30 * time.Second // at most, whatever is asked for
	refreshAfter = 10 * time.Minute // so that a key that was withdrawn is forgotten
	minRSABits   = 2048
	maxKeys      = 128
)

// errNoKeys says that nothing can be verified now: keys were never fetched.
var errNoKeys = errors.New("the issuer's keys cannot be fetched")

// keys are the public keys of one issuer, fetched when they are needed.
type keys struct {
	issuer string
	fetch  func(context.Context) ([]jose.JSONWebKey, error)
	now    func() time.Time
	log    *slog.Logger

	current atomic.Pointer[keySet]
	turn    chan struct{} // of one element: whoever has it may fetch
	tried   time.Time     // last attempt to fetch; read and written by whoever has the turn
}

// keySet is what one fetch brought.
type keySet struct {
	byID    map[string]jose.JSONWebKey
	fetched time.Time
}

func newKeys(issuer string, fetch func(context.Context) ([]jose.JSONWebKey, error), now func() time.Time, log *slog.Logger) *keys {
	return &keys{issuer: issuer, fetch: fetch, now: now, log: log, turn: make(chan struct{}, 1)}
}

// find returns the key of that id that verifies alg, and the set it is of; no
// key if the issuer has none. A token without an id is verified by an issuer's
// only key.
func (k *keys) find(ctx context.Context, id string, alg string) (*jose.JSONWebKey, *keySet, error) {
	set := k.current.Load()
	known := set != nil && set.pick(id) != nil
	if !known || k.stale(set) {
		var err error
		if set, err = k.refresh(ctx, set, !known); err != nil {
			return nil, nil, err
		}
	}
	key := set.pick(id)
	if key == nil || key.Algorithm != alg {
		return nil, set, nil
	}
	return key, set, nil
}

// stale says whether a set is so old that a key may have been withdrawn.
func (k *keys) stale(set *keySet) bool { return k.now().Sub(set.fetched) > refreshAfter }

// refresh fetches the keys, unless that was tried just now. seen is what the
// caller looked at; what another one fetched since will do. Keys that were
// fetched before outlive a failure. Who does not need new keys does not wait
// for one who fetches them.
func (k *keys) refresh(ctx context.Context, seen *keySet, needed bool) (*keySet, error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	default:
		if !needed {
			return seen, nil
		}
		select {
		case k.turn <- struct{}{}:
			defer func() { <-k.turn }()
		case <-ctx.Done():
			return nil, errNoKeys
		}
	}
	known := k.current.Load()
	if known == seen && k.now().Sub(k.tried) >= fetchEvery {
		k.tried = k.now()
		fetched, err := k.fetch(ctx)
		if err != nil {
			k.log.WarnContext(ctx, "keys not fetched", "issuer", k.issuer, "err", err)
		} else {
			known = usable(fetched, k.tried)
			k.current.Store(known)
		}
	}
	if known == nil {
		return nil, errNoKeys
	}
	return known, nil
}

func (s *keySet) pick(id string) *jose.JSONWebKey {
	key, ok := s.byID[id]
	if id == "" && len(s.byID) == 1 {
		for _, key = range s.byID {
			ok = true
		}
	}
	if !ok {
		return nil
	}
	return &key
}

// usable keeps the keys that may verify a token, each with its one algorithm,
// so that no header of a token chooses how a key is used.
func usable(all []jose.JSONWebKey, now time.Time) *keySet {
	set := &keySet{byID: map[string]jose.JSONWebKey{}, fetched: now}
	for _, key := range all {
		alg := algorithm(key)
		if alg == "" || key.Algorithm != "" && key.Algorithm != alg || key.Use != "" && key.Use != "sig" || len(set.byID) == maxKeys {
			continue
		}
		key.Algorithm = alg
		set.byID[key.KeyID] = key
	}
	return set
}

// algorithm is the one that a key is for, "" if it is for none of ours.
func algorithm(key jose.JSONWebKey) string {
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return string(jose.RS256)
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return string(jose.ES256)
		}
	}
	return ""
}
