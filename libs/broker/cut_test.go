package broker

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"":            "",
		"short":       "short",
		"exactly ten": "exactly te",
		"exactly né":  "exactly n",
		"a\xff":       "a\uFFFD",
	} {
		if got := Cut(text, 10); got != want {
			t.Errorf("Cut(%q, 10) = %q, want %q", text, got, want)
		}
	}
	if got := Cut(strings.Repeat("é", 3*MostReason), MostReason); len(got) > MostReason || !utf8.ValidString(got) {
		t.Errorf("%d bytes, valid: %t", len(got), utf8.ValidString(got))
	}
}
