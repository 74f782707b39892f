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
	patience := http.NewResponseController(w)
	if end, ok := r.Context().Deadline(); ok { // which reading does not look at by itself
		_ = patience.SetReadDeadline(end)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fleet.Errorf(fleet.BadRequest, "the body did not arrive in time")
	case errors.As(err, &large):
		return nil, fleet.Errorf(fleet.TooLarge, "the body is larger than %d bytes", maxBody)
	case err != nil:
		return nil, fleet.Errorf(fleet.BadRequest, "the body ended before it was complete")
	}
	_ = patience.SetReadDeadline(time.Time{}) // but what never comes must not be waited for once more
	return body, nil
}

// noBody refuses a body where none is read: what it says would be ignored.
func noBody(r *http.Request) error {
	if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
		return fleet.Errorf(fleet.BadRequest, "this request has no body; send it without")
	}
	return nil
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
