package broker

import (
	"strings"
	"unicode/utf8"
)

// MostReason is how many bytes of its reason a dead letter keeps: as many as
// every broker takes beside an event.
const MostReason = 1024

// Cut shortens text to at most most bytes, between characters, without bytes
// that are no text.
func Cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
