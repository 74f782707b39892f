package schedule

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Token is what a due item gives out and a recording brings back: what the
// publisher knew of the row when it read it.
type Token struct {
	ID    string
	Wakes int64
	Woken bool // a wake-up, not an expired backoff, made it due
}

const tokenSize = 16 + 8 + 1

// String returns the opaque form.
func (k Token) String() string {
	b := make([]byte, tokenSize)
	id := uuid.MustParse(k.ID) // it comes from a uuid column
	copy(b, id[:])
	binary.BigEndian.PutUint64(b[16:], uint64(k.Wakes)) //nolint:gosec // never negative
	if k.Woken {
		b[24] = 1
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// readToken reads what [token.String] wrote and says whether it was that.
func readToken(s string) (Token, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != tokenSize || b[24] > 1 {
		return Token{}, false
	}
	wakes := binary.BigEndian.Uint64(b[16:])
	if wakes > math.MaxInt64 {
		return Token{}, false
	}
	return Token{ID: uuid.UUID(b[:16]).String(), Wakes: int64(wakes), Woken: b[24] == 1}, true
}

// publishedSQL says what fleet.Schedule.Published says: what is parked stays as
// it is. Rows are locked in the order of their ids, so that two recordings
// cannot wait for each other, and the clock is read after that. The exponent is repeat as it was.
const publishedSQL = `
	WITH given AS (
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::boolean[]) AS g (id, wakes, woken)),
	locked AS MATERIALIZED (
		SELECT s.id, s.wakes, s.transitioned_at FROM {schedule} s
		WHERE s.id = ANY ($1::uuid[]) ORDER BY s.id FOR UPDATE),
	timed AS MATERIALIZED (
		SELECT locked.id, given.woken AND given.wakes = locked.wakes AS served,
			greatest(clock_timestamp(), locked.transitioned_at + interval '1 microsecond') AS now
		FROM locked JOIN given USING (id))
	UPDATE {schedule} s SET
		wake_at = CASE WHEN timed.served THEN s.later[1] ELSE s.wake_at END,
		wake_reason = CASE WHEN NOT timed.served THEN s.wake_reason WHEN s.later IS NULL THEN NULL ELSE 'retry' END,
		later = CASE WHEN timed.served THEN nullif(s.later[2:], '{}') ELSE s.later END,
		base = CASE WHEN s.ready THEN timed.now
			ELSE timed.now + $4::bigint * (2 ^ s.repeat - 1) * interval '1 microsecond' END,
		repeat = CASE WHEN s.ready THEN s.repeat ELSE least(s.repeat + 1, $5::int) END
	FROM timed WHERE s.id = timed.id AND s.base < 'infinity'`

// Published records that the broker has confirmed events for what these tokens
// stand for. Tokens of rows that are gone are ignored; a token that never was
// one is fleet.BadRequest. Several tokens of one resource count as one event.
func (s *Schedule) Published(ctx context.Context, t fleet.TypeInfo, tokens []string, b fleet.Backoff) error {
	names, err := database.TablesFor(t)
	if err != nil {
		return err
	}
	given, err := merge(tokens)
	if err != nil || len(given) == 0 {
		return err
	}
	ids, wakes, woken := make(pq.StringArray, len(given)), make(pq.Int64Array, len(given)), make(pq.BoolArray, len(given))
	for i, k := range given {
		ids[i], wakes[i], woken[i] = k.ID, k.Wakes, k.Woken
	}
	err = s.db.Exec(ctx, names.SQL(publishedSQL), ids, wakes, woken, Micros(b.NotReady), fleet.MaxRepeat)
	return database.Outward(ctx, "record what was published", err)
}

// merge reads tokens into one per resource, in the order of ids. Only the
// newest reading of a row can still be true of it.
func merge(tokens []string) ([]Token, error) {
	byID := map[string]Token{}
	problems := []fleet.Problem{}
	for i, s := range tokens {
		k, ok := readToken(s)
		if !ok {
			problems = append(problems, fleet.Problem{
				Pointer: fmt.Sprintf("/tokens/%d", i), Message: "it is not a token of a due list",
			})
			continue
		}
		if other, seen := byID[k.ID]; seen {
			switch {
			case other.Wakes > k.Wakes:
				k = other
			case other.Wakes == k.Wakes:
				k.Woken = k.Woken || other.Woken
			}
		}
		byID[k.ID] = k
	}
	if len(problems) > 0 {
		return nil, &fleet.Error{Code: fleet.BadRequest, Detail: "tokens cannot be read", Problems: problems}
	}
	merged := make([]Token, 0, len(byID))
	for _, k := range byID {
		merged = append(merged, k)
	}
	slices.SortFunc(merged, func(a, b Token) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	return merged, nil
}
