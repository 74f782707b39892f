package manual

import "strings"

// span is a piece of a paragraph.
type span struct {
	Text string
	Code bool
}

// prose splits a description into paragraphs, and those at backticks.
func prose(text string) [][]span {
	var out [][]span
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		var spans []span
		for i, piece := range strings.Split(paragraph, "`") {
			if piece != "" {
				spans = append(spans, span{piece, i%2 == 1})
			}
		}
		if len(spans) > 0 {
			out = append(out, spans)
		}
	}
	return out
}
