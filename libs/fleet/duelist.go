package fleet

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// AppendJSON appends what l marshals to. It is written out, as is
// [DueList.ReadJSON], because by reflection a page costs more than to find and
// publish what is on it.
func (l DueList) AppendJSON(to []byte) []byte {
	to = appendText(append(to, `{"kind":`...), l.Kind)
	to = append(to, `,"items":[`...)
	for i, item := range l.Items {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendText(append(to, `{"id":`...), item.ID)
		to = strconv.AppendInt(append(to, `,"generation":`...), item.Generation, 10)
		to = appendText(append(to, `,"phase":`...), item.Phase)
		to = item.LastTransitionTime.AppendJSON(append(to, `,"lastTransitionTime":`...))
		to = appendText(append(to, `,"reason":`...), item.Reason)
		to = append(appendText(append(to, `,"token":`...), item.Token), '}')
	}
	to = append(to, ']')
	if l.Continue != "" {
		to = appendText(append(to, `,"continue":`...), l.Continue)
	}
	return append(l.AsOf.AppendJSON(append(to, `,"asOf":`...)), '}')
}

// appendText appends a JSON string. Hardly any of a due list needs an escape.
func appendText[S ~string](to []byte, s S) []byte {
	for i := range len(s) {
		if !plain(s[i]) {
			quoted, _ := json.Marshal(string(s)) //nolint:errchkjson // of a string it has no error
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), s...), '"')
}

// plain says that a byte stands for itself in a JSON string.
func plain(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }

// minItem is about the length of the shortest item.
const minItem = 200

// ReadJSON reads a list in the very form that [DueList.AppendJSON] writes where
// nothing needs an escape. It says whether text has that form; of any other,
// encoding/json has to judge, and l is as it was.
func (l *DueList) ReadJSON(text []byte) bool {
	r := dueReader{rest: bytes.TrimSuffix(text, []byte("\n")), good: true}
	out := DueList{Items: make([]DueItem, 0, len(text)/minItem)}
	out.Kind = r.text(`{"kind":`, "")
	r.skip(`,"items":[`)
	var last DueItem
	for r.good && !r.begins(`]`) {
		if len(out.Items) > 0 {
			r.skip(`,`)
		}
		last = DueItem{ // by field, in the order of evaluation
			ID:                 r.text(`{"id":`, ""),
			Generation:         r.number(`,"generation":`),
			Phase:              Phase(r.text(`,"phase":`, string(last.Phase))),
			LastTransitionTime: r.time(`,"lastTransitionTime":`),
			Reason:             Reason(r.text(`,"reason":`, string(last.Reason))),
			Token:              r.text(`,"token":`, ""),
		}
		r.skip(`}`)
		out.Items = append(out.Items, last)
	}
	r.skip(`]`)
	if r.begins(`,"continue":`) {
		out.Continue = r.text(`,"continue":`, "")
	}
	out.AsOf = r.time(`,"asOf":`)
	r.skip(`}`)
	if !r.good || len(r.rest) > 0 {
		return false
	}
	*l = out
	return true
}

// dueReader reads on as long as the text is what was expected.
type dueReader struct {
	rest []byte
	good bool
}

func (r *dueReader) begins(with string) bool {
	return len(r.rest) >= len(with) && string(r.rest[:len(with)]) == with
}

func (r *dueReader) skip(text string) {
	if r.good = r.good && r.begins(text); r.good {
		r.rest = r.rest[len(text):]
	}
}

// quoted reads a string without escapes, as it stands, quotes included.
func (r *dueReader) quoted(after string) []byte {
	r.skip(after)
	if r.good = r.good && r.begins(`"`); !r.good {
		return nil
	}
	end := 1
	for end < len(r.rest) && plain(r.rest[end]) {
		end++
	}
	if r.good = end < len(r.rest) && r.rest[end] == '"'; !r.good {
		return nil
	}
	text := r.rest[:end+1]
	r.rest = r.rest[end+1:]
	return text
}

// text reads a string; where it is the likely one, into no new memory.
func (r *dueReader) text(after, likely string) string {
	q := r.quoted(after)
	if !r.good || string(q[1:len(q)-1]) == likely {
		return likely
	}
	return string(q[1 : len(q)-1])
}

func (r *dueReader) time(after string) (t Time) {
	q := r.quoted(after)
	r.good = r.good && t.UnmarshalJSON(q) == nil
	return t
}

// number reads a number from 1 that an int64 holds for sure.
func (r *dueReader) number(after string) (n int64) {
	r.skip(after)
	digits := 0
	for ; digits < len(r.rest) && digits < 18 && '0' <= r.rest[digits] && r.rest[digits] <= '9'; digits++ {
		n = 10*n + int64(r.rest[digits]-'0')
	}
	if r.good = r.good && digits > 0 && r.rest[0] != '0'; r.good {
		r.rest = r.rest[digits:]
	}
	return n
}
