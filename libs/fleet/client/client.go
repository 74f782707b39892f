package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// maxAnswer bounds what is read of an answer: a full page of resources
	// with the largest specs.
	maxAnswer = 640 << 20
	// maxProblem bounds what is read of an error: a page of problems, or the
	// first words of whatever a proxy answers in the API's place.
	maxProblem = 1 << 20
	// maxDrain bounds what is read only to keep a connection alive.
	maxDrain = 64 << 10
)

// Client speaks to one API. It is safe for concurrent use.
type Client struct {
	base    string
	http    *http.Client
	timeout time.Duration
}

// New returns a client of the API at baseURL (http or https, host, optionally
// a path). rt carries the requests, with a token if it is a [Bearer]; nil means
// a transport of its own. timeout
// bounds each call, reading of the answer included; 0 leaves that to the
// caller's context.
func New(baseURL string, rt http.RoundTripper, timeout time.Duration) (*Client, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, errors.New("API URL: cannot be read; give one such as http://hyperfleet-api:8080")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("API URL %s: must be http:// or https:// and a host, such as http://hyperfleet-api:8080", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("API URL %s: must not have a query or a fragment", u.Redacted())
	case timeout < 0:
		return nil, fmt.Errorf("API timeout %s: must not be negative", timeout)
	}
	if rt == nil {
		rt = newTransport()
	}
	return &Client{base: strings.TrimRight(u.String(), "/") + "/v1/", timeout: timeout, http: &http.Client{
		Transport: rt,
		// The API never redirects; what does is not the API.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// errNotModified is the answer to If-None-Match that nothing has changed.
var errNotModified = errors.New("not modified")

func newTransport() *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second}
}

// call is one request. A nil body sends none; a nil answer reads none.
type call struct {
	method  string
	path    string // escaped, below /v1/
	query   url.Values
	media   string // Content-Type; "" = application/json
	options []Option
	body    any
	answer  any
	strict  bool // the answer must say that it is JSON
	// quick reads an answer that has the form in which the API writes it, and
	// says whether it had; nil = there is none
	quick func([]byte) bool
}

func (c *Client) do(ctx context.Context, k call) error {
	callCtx := ctx
	if c.timeout > 0 {
		var cancel context.CancelFunc
		callCtx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	req, err := c.request(callCtx, k)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return unreachable(ctx, k, err)
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // an unread rest would cost the connection
		_ = resp.Body.Close()
	}()
	if resp.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "" {
		return errNotModified
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answered(ctx, k, resp)
	}
	if k.answer == nil {
		return nil
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); k.strict && (err != nil || media != "application/json") {
		return fleet.Errorf(fleet.Internal, "%s /v1/%s answered %.80q, not JSON: what answers there is not the API", k.method, k.path, resp.Header.Get("Content-Type"))
	}
	body, err := read(resp)
	if err != nil {
		return unreachable(ctx, k, err)
	}
	if len(body) > maxAnswer {
		return fleet.Errorf(fleet.Internal, "%s /v1/%s: the answer is larger than %d bytes", k.method, k.path, maxAnswer)
	}
	if k.quick != nil && k.quick(body) {
		return nil
	}
	if err := json.Unmarshal(body, k.answer); err != nil {
		return fleet.Errorf(fleet.Internal, "%s /v1/%s: the answer is not what the API's contract says: %s", k.method, k.path, err)
	}
	return nil
}

// read reads an answer, into memory of its length where it tells that.
func read(resp *http.Response) ([]byte, error) {
	const most = 8 << 20 // of what is believed before it came
	var b bytes.Buffer
	b.Grow(int(min(max(resp.ContentLength, 0), most)) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	return b.Bytes(), err
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	var body io.Reader
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return nil, fleet.Errorf(fleet.BadRequest, "write the request: %s", err)
		}
		body = bytes.NewReader(b)
	}
	target := c.base + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fleet.Errorf(fleet.BadRequest, "make the request: %s", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		if k.media != "" {
			req.Header.Set("Content-Type", k.media)
		}
	}
	for _, set := range k.options {
		set(req.Header)
	}
	return req, nil
}

// unreachable turns what the transport said into an error of the vocabulary.
// The caller's own cancellation stays what it is.
func unreachable(ctx context.Context, k call, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, which may carry credentials
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return fleet.Errorf(fleet.Unavailable, "%s /v1/%s: %s", k.method, k.path, err)
}

// answered reads an error that the API, or something in its place, answered.
func answered(ctx context.Context, k call, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return unreachable(ctx, k, err)
	}
	var problem struct {
		Code      fleet.Code      `json:"code"`
		Detail    string          `json:"detail"`
		RequestID string          `json:"request_id"`
		Errors    []fleet.Problem `json:"errors"`
	}
	e := &fleet.Error{Code: fleet.CodeOf(resp.StatusCode), RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retryAfter(resp)}
	if json.Unmarshal(body, &problem) == nil && problem.Code != "" {
		e.Code, e.Detail, e.Problems = problem.Code, problem.Detail, problem.Errors
		if problem.RequestID != "" {
			e.RequestID = problem.RequestID
		}
		return e
	}
	e.Detail = fmt.Sprintf("%s /v1/%s answered %s", k.method, k.path, resp.Status)
	return e
}

func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
