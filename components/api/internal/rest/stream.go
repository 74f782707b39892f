package rest

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	streamBuffer = 64 << 10
	// readerTime is how long a reader may take for a page. The database waits
	// for it, and must not keep a snapshot for longer.
	readerTime = 10 * time.Second
)

// errUnread says that whoever asked did not read on.
var errUnread = errors.New("the answer was not read")

// stream writes a list item by item and keeps none. Until its buffer is full
// nothing was answered, so that an early error still is one. A later one cuts
// the answer off before its end.
type stream struct {
	answer   *recorder
	deadline *http.ResponseController
	patience time.Duration
	buffer   *bufio.Writer
	item     []byte // reused
	next     string // what stands before the next item
}

// tail is what only the end of a list knows.
type tail struct {
	Total    *int64     `json:"total,omitempty"`
	Continue string     `json:"continue,omitempty"`
	AsOf     fleet.Time `json:"asOf"`
}

func openStream(w http.ResponseWriter, kind string, patience time.Duration) *stream {
	w.Header().Set("Content-Type", "application/json")
	answer := &recorder{ResponseWriter: w}
	return &stream{
		answer: answer, deadline: http.NewResponseController(w), patience: min(patience, readerTime),
		buffer: bufio.NewWriterSize(answer, streamBuffer), next: `{"kind":"` + kind + `","items":[`,
	}
}

func (s *stream) add(item resource.Item) (err error) {
	if s.item, err = item.AppendJSON(s.item[:0]); err != nil {
		return err
	}
	return s.write()
}

// encode adds an item that is marshalled as it is.
func (s *stream) encode(item any) error {
	text, err := encode(item)
	if err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	s.item = text[:len(text)-1] // its line feed
	return s.write()
}

// write adds s.item. Time runs out for the reader from the first one on: before
// it the database may have counted.
func (s *stream) write() error {
	if s.next != "," {
		_ = s.deadline.SetWriteDeadline(time.Now().Add(s.patience)) // where there is none, the request's own time is the limit
	}
	_, _ = s.buffer.WriteString(s.next) // its error comes again
	s.next = ","
	if _, err := s.buffer.Write(s.item); err != nil {
		return fmt.Errorf("%w: %w", errUnread, err)
	}
	return nil
}

// end closes the list.
func (s *stream) end(t tail) error {
	text, err := encode(t)
	if err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	if s.next != "," { // there was no item
		_, _ = s.buffer.WriteString(s.next) // its error comes again
	}
	_, _ = s.buffer.WriteString("],")
	_, _ = s.buffer.Write(text[1:])
	if s.answer.code == 0 { // all of it is here
		s.answer.Header().Set("Content-Length", strconv.Itoa(s.buffer.Buffered()))
	}
	if err := s.buffer.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errUnread, err)
	}
	_ = s.deadline.Flush()
	_ = s.deadline.SetWriteDeadline(time.Time{})
	return nil
}
