package rest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxBody bounds what is read of a request.
const maxBody = 1 << 20

const (
	plainJSON  = "application/json"
	mergePatch = "application/merge-patch+json"
)

// readBody reads a body of one of the media types.
func readBody(w http.ResponseWriter, r *http.Request, media ...string) ([]byte, error) {
	if !readable(r.Header.Values("Content-Type"), media) {
		return nil, fleet.Errorf(fleet.UnsupportedMedia, "send the body with Content-Type: %s", strings.Join(media, " or "))
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, fleet.Errorf(fleet.UnsupportedMedia, "send the body without Content-Encoding")
	}
	var body []byte
	err := inTime(w, r, func() (err error) {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		return err
	})
	return body, err
}

// noBody refuses a body where none is read: what it says would be ignored.
func noBody(w http.ResponseWriter, r *http.Request) error {
	return inTime(w, r, func() error {
		n, err := r.Body.Read(make([]byte, 1))
		switch {
		case n > 0:
			return fleet.Errorf(fleet.BadRequest, "this request has no body; send it without")
		case errors.Is(err, io.EOF):
			return nil
		}
		return err
	})
}

// inTime reads of a body until the request's time is over, which reading does
// not look at by itself. Nor is the rest of a refused body waited for any longer.
func inTime(w http.ResponseWriter, r *http.Request, read func() error) error {
	patience := http.NewResponseController(w)
	if end, ok := r.Context().Deadline(); ok {
		_ = patience.SetReadDeadline(end)
	}
	err := read()
	var refused *fleet.Error
	var large *http.MaxBytesError
	switch {
	case err == nil:
		_ = patience.SetReadDeadline(time.Time{})
		return nil
	case errors.As(err, &refused):
		return err
	case errors.As(err, &large):
		return fleet.Errorf(fleet.TooLarge, "the body is larger than %d bytes", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fleet.Errorf(fleet.BadRequest, "the body did not arrive in time")
	}
	return fleet.Errorf(fleet.BadRequest, "the body ended before it was complete")
}

// readable says whether a Content-Type is one of media, in UTF-8.
func readable(given, media []string) bool {
	if len(given) != 1 {
		return false
	}
	kind, parameters, err := mime.ParseMediaType(given[0])
	if err != nil {
		return false
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	for _, m := range media {
		if kind == m {
			return true
		}
	}
	return false
}
