package schema

import (
	"errors"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Time reads an RFC 3339 time of the years 1970 to 9999 (in UTC), which every
// part of the system can store.
func Time(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.UTC().Year() < 1970 || t.UTC().Year() > 9999 {
		return time.Time{}, errors.New("must be an RFC 3339 time of the years 1970 to 9999, such as 2026-01-02T03:04:05Z")
	}
	return t, nil
}

// Duration reads a Go duration that is not negative.
func Duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New("must be a duration that is not negative, such as 10s, 1m30s or 30m")
	}
	return d, nil
}

// formats are what the document's formats mean, where JSON Schema does not
// know them or is looser than what is read afterwards.
func formats() []*jsonschema.Format {
	of := func(name string, check func(string) error) *jsonschema.Format {
		return &jsonschema.Format{Name: name, Validate: func(v any) error {
			if s, ok := v.(string); ok {
				return check(s)
			}
			return nil // its type is another keyword's business
		}}
	}
	return []*jsonschema.Format{
		of("date-time", func(s string) error { _, err := Time(s); return err }),
		of("go-duration", func(s string) error { _, err := Duration(s); return err }),
	}
}
