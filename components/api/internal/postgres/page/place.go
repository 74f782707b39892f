package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Sizes of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Size is how many items a page has that was asked for with a limit; 0 = not said.
func Size(limit int) int {
	if limit <= 0 {
		return DefaultLimit
	}
	return min(limit, MaxLimit)
}

// Place is where a walk goes on, opaque to callers. It knows the query that it
// belongs to, because in another one it would skip rows without a word.
type Place struct {
	Query string    `json:"q"`
	ID    string    `json:"i"`           // after this id
	Name  string    `json:"n,omitempty"` // of a list by name: after this name
	At    time.Time `json:"t,omitzero"`  // of a due list: after this moment
	Woken bool      `json:"w,omitempty"` // of a due list: still among the woken
}

func (p Place) String() string { return base64.RawURLEncoding.EncodeToString([]byte(database.JSON(p))) }

// Read reads what [place.String] wrote; "" is the start.
func Read(s, query string) (Place, error) {
	if s == "" {
		return Place{Query: query}, nil
	}
	var p Place
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(b, &p) != nil || !database.IsID(p.ID) || p.At.Year() > 9999 || strings.ContainsRune(p.Name, 0) {
		return p, badParameter("continue", "it is not from an earlier answer")
	}
	if p.Query != query {
		return p, badParameter("continue", "it belongs to a list with other parameters; keep them the same, or start again without it")
	}
	return p, nil
}

func badParameter(name, message string) error {
	return &fleet.Error{
		Code: fleet.BadRequest, Detail: "a parameter cannot be used",
		Problems: []fleet.Problem{{Pointer: name, Message: message}},
	}
}

// Fingerprint is short and differs where the parts differ.
func Fingerprint(parts ...any) string {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%T %q\x00", p, fmt.Sprint(p)) // a hash never fails
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:9])
}

// SelectorText is a selector's part of a fingerprint; none is "".
func SelectorText(s fmt.Stringer) string {
	if s == nil {
		return ""
	}
	return s.String()
}
