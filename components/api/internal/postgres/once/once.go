package once

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// KeptAnswer is how long a request's answer is kept under its idempotency key.
const KeptAnswer = 24 * time.Hour

// expiredKeys bounds how many keys one statement removes.
const expiredKeys = 1000

const (
	// claimKeySQL answers a row where the key is new or its time is over. It
	// waits for another transaction that is claiming the same key.
	claimKeySQL = `
		INSERT INTO idempotency_keys AS k (tenant, principal, route, key, request, expires_at)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 second')
		ON CONFLICT (tenant, principal, route, key) DO UPDATE
		SET request = excluded.request, answer = NULL, expires_at = excluded.expires_at
		WHERE k.expires_at <= clock_timestamp() RETURNING true`

	answeredSQL = `
		SELECT request, answer FROM idempotency_keys WHERE tenant = $1 AND principal = $2 AND route = $3 AND key = $4`

	keepAnswerSQL = `
		UPDATE idempotency_keys SET answer = $5 WHERE tenant = $1 AND principal = $2 AND route = $3 AND key = $4`

	dropKeysSQL = `
		WITH expired AS MATERIALIZED (
			SELECT tenant, principal, route, key FROM idempotency_keys WHERE expires_at <= clock_timestamp()
			ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		DELETE FROM idempotency_keys k USING expired e
		WHERE (k.tenant, k.principal, k.route, k.key) = (e.tenant, e.principal, e.route, e.key)
		RETURNING true`
)

// Request names a request that may be sent again: the same body under the same
// key is answered as it was the first time. The zero Request is a request that
// has no key.
type Request struct {
	Principal string
	Route     string
	Key       string
	Body      []byte
}

// Do makes a resource, or answers what the same request was answered before.
// Who comes while the first is at it waits for its end.
func Do(ctx context.Context, x *database.Tx, tenant string, o Request, create func() (fleet.Resource, error)) (fleet.Resource, error) {
	if o.Key == "" {
		return create()
	}
	request := sha256.Sum256(o.Body)
	var claimed bool
	err := x.Row(ctx, &claimed, claimKeySQL, tenant, o.Principal, o.Route, o.Key, request[:], KeptAnswer.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return answered(ctx, x, tenant, o, request[:])
	}
	if err != nil {
		return fleet.Resource{}, fmt.Errorf("claim the key: %w", err)
	}
	out, err := create()
	if err != nil {
		return out, err
	}
	if err := x.Exec(ctx, keepAnswerSQL, tenant, o.Principal, o.Route, o.Key, database.JSON(out)); err != nil {
		return out, fmt.Errorf("keep the answer: %w", err)
	}
	return out, nil
}

func answered(ctx context.Context, x *database.Tx, tenant string, o Request, request []byte) (fleet.Resource, error) {
	var kept struct {
		Request []byte `db:"request"`
		Answer  []byte `db:"answer"`
	}
	var out fleet.Resource
	err := x.Row(ctx, &kept, answeredSQL, tenant, o.Principal, o.Route, o.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows): // its time was over between two statements
		return out, &fleet.Error{Code: fleet.Unavailable, Detail: "the key has just expired; try again", RetryAfter: time.Second}
	case err != nil:
		return out, fmt.Errorf("read the kept answer: %w", err)
	case !bytes.Equal(kept.Request, request):
		return out, &fleet.Error{Code: fleet.KeyReused, Detail: "another request was sent under this key; a new request needs a new key",
			Problems: []fleet.Problem{{Pointer: "Idempotency-Key", Message: "belongs to a request with another body"}}}
	}
	if err := json.Unmarshal(kept.Answer, &out); err != nil {
		return out, fmt.Errorf("read the kept answer: %w", err)
	}
	return out, nil
}

// Drop removes every key whose time is over, batch after batch.
func Drop(ctx context.Context, db *database.Pool) error {
	for more := true; more; {
		var err error
		if more, err = dropExpired(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// dropExpired removes idempotency keys whose time is over, at most a
// thousand at once, and says whether there may be more.
func dropExpired(ctx context.Context, db *database.Pool) (bool, error) {
	var dropped []bool
	if err := db.Read(ctx, &dropped, dropKeysSQL, expiredKeys); err != nil {
		return false, database.Outward(ctx, "remove expired keys", err)
	}
	return len(dropped) == expiredKeys, nil
}
