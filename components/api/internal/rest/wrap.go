package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// statusGone is how a request counts whose client did not wait for the answer.
const statusGone = 499

// wrap puts around a handler what every request gets: an id, a deadline, an
// answer to errors and panics, a metric and a line in the log. template is the
// path as the router knows it.
func (s *server) wrap(template string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		id := requestID(r.Header.Get("X-Request-Id"))
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		ctx, cancel := context.WithTimeout(r.Context(), s.Timeout)
		defer cancel()
		rec := &recorder{ResponseWriter: w}
		torn := false
		if err := s.guarded(h, rec, r.WithContext(ctx)); err != nil {
			torn = s.fail(rec, r, id, err)
		}
		took := time.Since(begun)
		s.Metrics.observe(r.Method, template, rec.status(), took)
		if level := requestLevel(r.Method, template, took); s.Log.Enabled(r.Context(), level) {
			s.Log.Log(r.Context(), level, "request", "method", r.Method, "path", template, "status", rec.status(),
				"seconds", took.Seconds(), "request_id", id)
		}
		if torn {
			panic(http.ErrAbortHandler) //nolint:forbidigo // cuts the answer off, so that nobody takes it for a whole one
		}
	})
}

// slow is from when on a request is worth a line in the log.
const slow = time.Second

// requestLevel is info for what somebody changed and for what took long.
// Workloads report and register all the time: that is debug.
func requestLevel(method, template string, took time.Duration) slog.Level {
	chatter := strings.HasSuffix(template, "/statuses") || strings.HasSuffix(template, "/published") || method == http.MethodPut
	if took >= slow || method != http.MethodGet && method != http.MethodHead && !chatter {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// panicked is what a handler's panic becomes.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return "a handler panicked" }

func (s *server) guarded(h handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return h(w, r)
}

// fail answers an error. What the user may not see goes to the log. Where the
// answer has begun already, or nobody waits for it, it is torn: all that is
// left is to cut it off.
func (s *server) fail(w *recorder, r *http.Request, id string, err error) (torn bool) {
	var seen *fleet.Error
	var panicked *panicked
	known := errors.As(err, &seen)
	switch {
	case errors.As(err, &panicked):
		s.Log.ErrorContext(r.Context(), "panic", "value", panicked.value, "stack", string(panicked.stack), "request_id", id)
	case known && seen.Code != fleet.Internal && seen.Code != fleet.Unavailable: // the user's business
	case r.Context().Err() != nil, errors.Is(err, errUnread):
		w.code = statusGone
		return true // nothing is written, and that must not look like success
	case known && seen.Code == fleet.Unavailable:
		s.Log.WarnContext(r.Context(), "request not served", "err", err, "request_id", id)
	case errors.Is(err, context.DeadlineExceeded):
		s.Log.WarnContext(r.Context(), "request not served in time", "err", err, "request_id", id)
		seen = &fleet.Error{Code: fleet.Unavailable, Detail: "the request took too long; try again", RetryAfter: time.Second}
	default:
		s.Log.ErrorContext(r.Context(), "request failed", "err", err, "request_id", id)
	}
	if seen == nil || seen.Code == fleet.Internal {
		seen = &fleet.Error{Code: fleet.Internal, Detail: "the server has a defect; its log has more under this request_id"}
	}
	if w.code != 0 {
		return true
	}
	writeProblem(w, id, seen)
	return false
}

// requestID keeps a sane id of the caller's, else makes one.
func requestID(given string) string {
	sane := len(given) >= 1 && len(given) <= 64
	for i := range len(given) {
		c := given[i]
		sane = sane && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if sane {
		return given
	}
	return rand.Text()
}

// recorder remembers the status that was answered.
type recorder struct {
	http.ResponseWriter
	code int
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController and http.MaxBytesReader what is below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}
