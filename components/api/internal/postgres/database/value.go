package database

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Optional turns a nullable column into a nullable field.
func Optional(t *time.Time) *fleet.Time {
	if t == nil {
		return nil
	}
	at := fleet.At(*t)
	return &at
}

// Nullable turns a nullable field into an argument.
func Nullable(t *fleet.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return &t.Time
}

// Document turns a JSON object into an argument; none, and null, is the empty one.
func Document(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "{}"
	}
	return string(raw)
}

// StringArray turns names into an argument of type text[].
func StringArray[S ~string](values []S) any {
	out := make(pq.StringArray, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// JSON is for types of ours, all of which marshal. It leaves <, > and & as
// they are, so that what is read back is written as it was before.
func JSON(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) //nolint:forbidigo // see above
	}
	return strings.TrimSuffix(b.String(), "\n")
}
