package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// problem is RFC 9457's document, with what HyperFleet adds.
type problem struct {
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail"`
	Code      fleet.Code      `json:"code"`
	RequestID string          `json:"request_id"`
	Errors    []fleet.Problem `json:"errors,omitempty"`
}

func writeProblem(w http.ResponseWriter, id string, e *fleet.Error) {
	status := e.Code.HTTPStatus()
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", seconds(e.RetryAfter))
	}
	body, err := encode(problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: e.Detail, Code: e.Code, RequestID: id, Errors: e.Problems,
	})
	if err != nil { // strings and numbers alone; nothing to be done
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	send(w, status, "application/problem+json", body)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	send(w, status, "application/json", body)
	return nil
}

// encode leaves <, > and & as they are: nobody reads this as HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func send(w http.ResponseWriter, status int, media string, body []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, and nosniff is set; who asked may have gone
}
