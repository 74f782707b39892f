package fleet

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code is the machine-readable kind of an [Error]. Codes are part of the API.
type Code string

// Error codes.
const (
	BadRequest       Code = "bad_request"            // not readable: syntax, parameters, cursors
	Invalid          Code = "invalid"                // readable, but breaks a rule
	Unauthenticated  Code = "unauthenticated"        // no token, or none that holds
	Forbidden        Code = "forbidden"              // a token that does not allow this
	NotFound         Code = "not_found"              //
	MethodNotAllowed Code = "method_not_allowed"     //
	NameTaken        Code = "name_taken"             // another resource has that name
	StaleGeneration  Code = "stale_generation"       // Running reported for an older generation
	Superseded       Code = "superseded"             // a later attempt, or the end of this one, is stored
	NotLatest        Code = "not_latest"             // only an adapter's latest report may change
	ShardHeld        Code = "shard_held"             // another holder of the shard is live
	KeyReused        Code = "idempotency_key_reused" // another request was sent under that Idempotency-Key
	Conflict         Code = "conflict"               //
	StaleVersion     Code = "precondition_failed"    // If-Match names an older desired state
	TooLarge         Code = "too_large"              //
	UnsupportedMedia Code = "unsupported_media_type" //
	RateLimited      Code = "rate_limited"           // too many requests; try again later
	Unavailable      Code = "unavailable"            // try again later
	Internal         Code = "internal"               //
)

// statuses is the one table between codes and HTTP statuses. Where codes share
// a status, the first is the one that a bare status stands for.
var statuses = []struct {
	code   Code
	status int
}{
	{BadRequest, http.StatusBadRequest},
	{Invalid, http.StatusUnprocessableEntity},
	{Unauthenticated, http.StatusUnauthorized},
	{Forbidden, http.StatusForbidden},
	{NotFound, http.StatusNotFound},
	{MethodNotAllowed, http.StatusMethodNotAllowed},
	{Conflict, http.StatusConflict},
	{NameTaken, http.StatusConflict},
	{StaleGeneration, http.StatusConflict},
	{Superseded, http.StatusConflict},
	{ShardHeld, http.StatusConflict},
	{KeyReused, http.StatusConflict},
	{NotLatest, http.StatusConflict},
	{StaleVersion, http.StatusPreconditionFailed},
	{TooLarge, http.StatusRequestEntityTooLarge},
	{UnsupportedMedia, http.StatusUnsupportedMediaType},
	{RateLimited, http.StatusTooManyRequests},
	{Unavailable, http.StatusServiceUnavailable},
	{Internal, http.StatusInternalServerError},
}

// HTTPStatus returns the HTTP status that answers c.
func (c Code) HTTPStatus() int {
	for _, s := range statuses {
		if s.code == c {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// CodeOf returns the code that a bare HTTP status stands for: Unavailable for
// what a proxy answers in the API's place, Internal for other 5xx, BadRequest
// for other 4xx.
func CodeOf(status int) Code {
	for _, s := range statuses {
		if s.status == status {
			return s.code
		}
	}
	switch {
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return Unavailable
	case status >= http.StatusInternalServerError:
		return Internal
	default:
		return BadRequest
	}
}

// Problem is one thing that is wrong with a request. Pointer is a JSON pointer
// into the body, or the name of a query parameter.
type Problem struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// Error is an error that a user of the API may see. Its text never holds SQL,
// secrets or stack traces.
type Error struct {
	Code       Code
	Detail     string
	Problems   []Problem
	RequestID  string
	RetryAfter time.Duration // with Unavailable and RateLimited
}

// Error names every problem on one line.
func (e *Error) Error() string {
	parts := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		parts = append(parts, strings.TrimPrefix(p.Pointer+": "+p.Message, ": "))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%s: %s", e.Code, e.Detail)
	}
	return fmt.Sprintf("%s: %s (%s)", e.Code, e.Detail, strings.Join(parts, "; "))
}

// Errorf returns an [Error] without problems.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// ErrorCode returns the code of err, Internal if it carries none, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Passing says whether an error is of the moment and not of the request: the
// API is away or busy, or does not take the caller's token now. The same
// request may succeed later.
func (c Code) Passing() bool {
	return c == Unavailable || c == RateLimited || c == Unauthenticated || c == Forbidden
}
