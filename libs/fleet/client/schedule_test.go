package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const emptyDueList = `{"kind":"DueList","items":[],"asOf":"2026-01-02T03:04:05.000000Z"}`

// TestNoBrokenAnswerReadsAsNothingDue: each would, read with goodwill.
func TestNoBrokenAnswerReadsAsNothingDue(t *testing.T) {
	json := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   fleet.Code // "" = it is a list
	}{
		"nothing due":            {json(200, emptyDueList), ""},
		"an error of the server": {json(500, emptyDueList), fleet.Internal},
		"too many requests": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			json(429, `{"code":"rate_limited"}`)(w, r)
		}, fleet.RateLimited},
		"no content":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, fleet.Internal},
		"an empty body":        {json(200, ""), fleet.Internal},
		"an empty object":      {json(200, "{}"), fleet.Internal},
		"null":                 {json(200, "null"), fleet.Internal},
		"another kind of list": {json(200, `{"kind":"ClusterList","items":[],"asOf":"2026-01-02T03:04:05.000000Z"}`), fleet.Internal},
		"no items":             {json(200, `{"kind":"DueList","asOf":"2026-01-02T03:04:05.000000Z"}`), fleet.Internal},
		"no clock":             {json(200, `{"kind":"DueList","items":[]}`), fleet.Internal},
		"half a document":      {json(200, emptyDueList[:len(emptyDueList)-20]), fleet.Internal},
		"a truncated body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, emptyDueList)
		}, fleet.Unavailable},
		"another type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, emptyDueList)
		}, fleet.Internal},
		"a page of a proxy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>sign in</html>")
		}, fleet.Internal},
		"an answer elsewhere": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, fleet.BadRequest},
		"no answer in time":   {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, fleet.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			api, err := New(server.URL, nil, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			list, err := api.Due(t.Context(), fleet.Clusters, DueOptions{})
			if (err == nil) != (c.want == "") {
				t.Fatalf("%+v, %v; want %q", list, err, c.want)
			}
			if err != nil && fleet.ErrorCode(err) != c.want {
				t.Errorf("%v is %q, want %q", err, fleet.ErrorCode(err), c.want)
			}
		})
	}
}
