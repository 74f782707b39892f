package database

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// The ends of the order of ids.
const (
	NullID = "00000000-0000-0000-0000-000000000000"
	MaxID  = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

// NewID returns a UUID of version 7 for a moment of the database's clock. Its
// 12 bits below the millisecond hold the microseconds, so that ids of one row's
// history, whose moments never repeat, are in the order of time.
func NewID(at time.Time) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	micros := at.UnixMicro()
	millis, below := uint64(micros/1000), uint64(micros%1000) // the database's clock is after 1970
	binary.BigEndian.PutUint64(id[:8], millis<<16|0x7000|below*4096/1000)
	return id.String(), nil
}

// IsID says whether s can be an id at all, in the one form that ids are written in.
func IsID(s string) bool {
	if len(s) != len(NullID) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// After returns now, or the next microsecond after last where the clock did
// not move on: moments of one row never repeat and never go back.
func After(last, now time.Time) time.Time {
	if !now.After(last) {
		return last.Add(time.Microsecond)
	}
	return now
}

// IDMoment is the millisecond in which an id was made.
func IDMoment(id string) time.Time {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(parsed[:8]) >> 16)) // 48 bits
}
