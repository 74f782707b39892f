package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 64
	// maxNumber bounds a number's text: every float64 has an exact one that is shorter.
	maxNumber = 1100
	// maxProblems bounds an answer: a body of a mebibyte has room for a million problems.
	maxProblems = 100
)

// Syntax says whether body is one JSON document that can be stored, whatever
// it means. Its error is a [fleet.BadRequest].
func Syntax(body []byte) error {
	w := walk{dec: jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))}
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		w.add("", "is empty; a JSON document is expected")
	} else {
		w.document()
	}
	return problems(fleet.BadRequest, "the body is not one readable JSON document", w.problems)
}

// walk reads a document token by token. Only what the decoder cannot read
// past ends it.
type walk struct {
	dec      *jsontext.Decoder
	names    []map[string]bool // of each object or array that is open
	problems []fleet.Problem
}

func (w *walk) add(pointer, format string, args ...any) {
	w.problems = append(w.problems, fleet.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
}

func (w *walk) document() {
	for ended := false; len(w.problems) <= maxProblems; ended = w.dec.StackDepth() == 0 {
		token, err := w.dec.ReadToken()
		if errors.Is(err, io.EOF) && ended {
			return
		}
		if err == nil && ended {
			w.add("", "holds more than one JSON document")
			return
		}
		if err != nil {
			w.unreadable(err)
			return
		}
		if !w.token(token) {
			return
		}
	}
}

// token judges one token and says whether to go on.
func (w *walk) token(token jsontext.Token) bool {
	switch token.Kind() {
	case '{', '[':
		w.names = append(w.names, map[string]bool{})
		if w.dec.StackDepth() > MaxDepth {
			w.add(string(w.dec.StackPointer()), "is nested deeper than %d levels", MaxDepth)
			return false
		}
	case '}', ']':
		w.names = w.names[:len(w.names)-1]
	case '"':
		w.text(token.String())
	case '0':
		w.number(token.String())
	}
	return true
}

func (w *walk) text(s string) {
	if strings.ContainsRune(s, 0) {
		w.add(string(w.dec.StackPointer()), "holds the character U+0000, which cannot be stored")
	}
	depth := w.dec.StackDepth()
	if kind, length := w.dec.StackIndex(depth); kind != '{' || length%2 == 0 {
		return // a value
	}
	if seen := w.names[depth-1]; seen[s] {
		w.add(string(w.dec.StackPointer()), "stands twice in the same object")
	} else {
		seen[s] = true
	}
}

func (w *walk) number(s string) {
	f, err := strconv.ParseFloat(s, 64)
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	vanished := f == 0 && strings.ContainsAny(mantissa, "123456789")
	if err != nil || vanished || len(s) > maxNumber || len(strings.TrimLeft(exponent, "+-0")) > 3 {
		w.add(string(w.dec.StackPointer()), "must be a number within the range of a 64-bit float")
	}
}

func (w *walk) unreadable(err error) {
	pointer, offset := "", w.dec.InputOffset()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		pointer, offset, err = string(syntax.JSONPointer), syntax.ByteOffset, syntax.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		w.add(pointer, "ends too early, at byte %d", offset)
		return
	}
	w.add(pointer, "is not JSON at byte %d: %s", offset, strings.TrimPrefix(err.Error(), "jsontext: "))
}

// problems makes an error of what was found; none is none.
func problems(code fleet.Code, detail string, found []fleet.Problem) error {
	if len(found) == 0 {
		return nil
	}
	if more := len(found) - maxProblems; more > 0 {
		found = append(found[:maxProblems:maxProblems], fleet.Problem{Message: fmt.Sprintf("and %d more problems", more)})
	}
	return &fleet.Error{Code: code, Detail: detail, Problems: found}
}
