package fleet

import (
	"fmt"
	"strings"
	"time"
)

// timeLayout is RFC 3339 with exactly six fractional digits, the resolution of
// a PostgreSQL timestamp.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a moment as HyperFleet writes it: UTC, RFC 3339, exactly six
// fractional digits. It reads any RFC 3339 time.
type Time struct{ time.Time }

// At returns t in UTC, cut to whole microseconds so that what is written is
// equal to what is read back.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// String returns the wire form.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON writes the wire form; the zero Time is null.
func (t Time) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// AppendJSON appends what t marshals to.
func (t Time) AppendJSON(to []byte) []byte {
	if t.IsZero() {
		return append(to, "null"...)
	}
	return t.UTC().AppendFormat(to, `"`+timeLayout+`"`)
}

// UnmarshalJSON reads any RFC 3339 time, or null as the zero Time.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		*t = Time{}
		return nil
	}
	parsed, err := time.Parse(time.RFC3339Nano, strings.Trim(s, `"`))
	if err != nil {
		return fmt.Errorf("parse time %s: not RFC 3339", s)
	}
	*t = At(parsed)
	return nil
}
