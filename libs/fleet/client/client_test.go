package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// serve runs a server with h and returns a client of it.
func serve(t *testing.T, timeout time.Duration, h http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, srv.Client().Transport, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesWhatIsNotAnAPI(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "ftp://host", "http://", "http://h/?q=1", "http://h/#f", "http://user:hunter2@h/?q=1", "http://h\x00"} {
		_, err := client.New(bad, nil, 0)
		if err == nil {
			t.Errorf("New(%q) did not fail", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New(%q) shows the password: %v", bad, err)
		}
	}
	if _, err := client.New("http://h", nil, -1); err == nil {
		t.Error("a negative timeout was accepted")
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	problem := `{"type":"about:blank","title":"x","status":409,"detail":"taken","code":"name_taken","request_id":"r1","errors":[{"pointer":"/name","message":"is taken"}]}`
	tests := map[string]struct {
		status     int
		retryAfter string
		body       string
		want       fleet.Error
	}{
		"the code of the problem document counts": {409, "", problem, fleet.Error{Code: fleet.NameTaken, Detail: "taken", RequestID: "r1",
			Problems: []fleet.Problem{{Pointer: "/name", Message: "is taken"}}}},
		"a bare 404 is not found":                 {404, "", "nope", fleet.Error{Code: fleet.NotFound, RequestID: "h1"}},
		"a problem without a code is its status":  {422, "", `{"detail":"x"}`, fleet.Error{Code: fleet.Invalid, RequestID: "h1"}},
		"a proxy's 502 is unavailable":            {502, "", "<html>", fleet.Error{Code: fleet.Unavailable, RequestID: "h1"}},
		"a 503 says when to try again":            {503, "7", "", fleet.Error{Code: fleet.Unavailable, RequestID: "h1", RetryAfter: 7 * time.Second}},
		"an unreadable Retry-After is none":       {503, "Tue, 24 Nov", "", fleet.Error{Code: fleet.Unavailable, RequestID: "h1"}},
		"too many requests say when to try again": {429, "1", "", fleet.Error{Code: fleet.RateLimited, RequestID: "h1", RetryAfter: time.Second}},
		"an unknown 4xx is a bad request":         {418, "", "", fleet.Error{Code: fleet.BadRequest, RequestID: "h1"}},
		"a redirect is not followed":              {302, "", "", fleet.Error{Code: fleet.BadRequest, RequestID: "h1"}},
		"an unknown 5xx is internal":              {507, "", "", fleet.Error{Code: fleet.Internal, RequestID: "h1"}},
		"an endless error body is cut, not eaten": {500, "", strings.Repeat("x", 3<<20), fleet.Error{Code: fleet.Internal, RequestID: "h1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := serve(t, 0, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "h1")
				w.Header().Set("Location", "/elsewhere")
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			_, err := c.Get(t.Context(), fleet.Clusters, "x")
			var got *fleet.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *fleet.Error", err)
			}
			if tt.want.Detail == "" {
				tt.want.Detail = got.Detail
			}
			if got.Detail == "" || !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got %+v, want %+v", *got, tt.want)
			}
		})
	}
}

func TestWhatDoesNotAnswerIsUnavailable(t *testing.T) {
	// Port 1: nobody listens there, while a port that was free may be another test's now.
	refused, err := client.New("http://user:hunter2@127.0.0.1:1", nil, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	slow := serve(t, 20*time.Millisecond, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	slowBody := serve(t, 20*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"id":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	torn := serve(t, 0, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"id":`)
	})
	for name, c := range map[string]*client.Client{"refused": refused, "silent": slow, "silent in the middle": slowBody, "torn": torn} {
		_, err := c.Get(t.Context(), fleet.Clusters, "x")
		if fleet.ErrorCode(err) != fleet.Unavailable {
			t.Errorf("%s: got %v, want unavailable", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: shows the password: %v", name, err)
		}
	}
}

func TestTheCallersCancellationStaysWhatItIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, time.Minute, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := c.Get(ctx, fleet.Clusters, "x"); !errors.Is(err, context.Canceled) || fleet.ErrorCode(err) == fleet.Unavailable {
		t.Errorf("got %v, want context canceled", err)
	}
}

func TestAnAnswerThatBreaksTheContractIsAnError(t *testing.T) {
	for _, body := range []string{"", "{", "[]", "<html>"} {
		c := serve(t, 0, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		if _, err := c.Get(t.Context(), fleet.Clusters, "x"); fleet.ErrorCode(err) != fleet.Internal {
			t.Errorf("answer %q: got %v, want internal", body, err)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var opened atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			_, _ = io.WriteString(w, strings.Repeat("ignored", 1000))
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, strings.Repeat(" ", maxProblem+1000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, &http.Transport{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	for range rounds {
		_ = c.Delete(t.Context(), fleet.Clusters, "x")
		_, _ = c.Get(t.Context(), fleet.Clusters, "x")
	}
	// A client that leaves either answer unread opens one each round. net/http
	// itself gives one up now and then: when its writer has not run for 50 ms.
	if n := opened.Load(); n > rounds/2 {
		t.Errorf("%d rounds opened %d connections, want 1 and few more", rounds, n)
	}
}

const maxProblem = 1 << 20 // as the client's

func TestRequestsAreWhatTheContractSays(t *testing.T) {
	type sent struct{ Method, URI, Media, Body string }
	tests := map[string]struct {
		do   func(context.Context, *client.Client) error
		want sent
	}{
		"create": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Create(ctx, fleet.Clusters, fleet.NewResource{Name: "a"})
			return err
		}, sent{"POST", "/v1/clusters", "application/json", `{"name":"a"}`}},
		"an id cannot reach another route": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Get(ctx, fleet.Clusters, "../x?y#z")
			return err
		}, sent{"GET", "/v1/clusters/..%2Fx%3Fy%23z", "", ""}},
		"create in": {func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateIn(ctx, fleet.Clusters, "i", fleet.NodePools, fleet.NewResource{Name: "a"})
			return err
		}, sent{"POST", "/v1/clusters/i/nodepools", "application/json", `{"name":"a"}`}},
		"delete with force": {func(ctx context.Context, c *client.Client) error { return c.ForceDelete(ctx, fleet.NodePools, "i") },
			sent{"DELETE", "/v1/nodepools/i?force=true", "", ""}},
		"pause": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Pause(ctx, fleet.Clusters, "i", true)
			return err
		}, sent{"PATCH", "/v1/clusters/i", "application/merge-patch+json", `{"paused":true}`}},
		"reconcile": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Reconcile(ctx, fleet.Clusters, "i", "dns", "placement")
			return err
		}, sent{"POST", "/v1/clusters/i/reconcile?adapter=dns%2Cplacement", "", ""}},
		"reconcile whatever failed": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Reconcile(ctx, fleet.Clusters, "i")
			return err
		}, sent{"POST", "/v1/clusters/i/reconcile", "", ""}},
		"pools of an owner": {func(ctx context.Context, c *client.Client) error {
			_, err := c.List(ctx, fleet.NodePools, client.ListOptions{Owner: "o"})
			return err
		}, sent{"GET", "/v1/nodepools?owner=o", "", ""}},
		"register": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Register(ctx, "dns", fleet.NewAdapterInstance{Instance: "a/b", ResourceTypes: []fleet.ResourceType{fleet.Clusters}})
			return err
		}, sent{"PUT", "/v1/adapters/dns", "application/json", `{"instance":"a/b","resourceTypes":["clusters"]}`}},
		"unregister": {func(ctx context.Context, c *client.Client) error { return c.Unregister(ctx, "dns", "a/b") },
			sent{"DELETE", "/v1/adapters/dns?instance=a%2Fb", "", ""}},
		"nor can dots": {func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, fleet.Clusters, "..") },
			sent{"DELETE", "/v1/clusters/-..", "", ""}},
		"nor can nothing": {func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, fleet.Clusters, "") },
			sent{"DELETE", "/v1/clusters/-", "", ""}},
		"patch": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Patch(ctx, fleet.Clusters, "i", map[string]any{"labels": map[string]any{"a": nil}})
			return err
		}, sent{"PATCH", "/v1/clusters/i", "application/merge-patch+json", `{"labels":{"a":null}}`}},
		"list": {func(ctx context.Context, c *client.Client) error {
			_, err := c.List(ctx, fleet.Clusters, client.ListOptions{Selector: "a in (b)", Phase: "!Ready", Name: "n",
				UpdatedSince: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Deleted: true, Limit: 5, Continue: "c"})
			return err
		}, sent{"GET", "/v1/clusters?continue=c&deleted=true&labelSelector=a+in+%28b%29&limit=5&name=n&phase=%21Ready&updatedSince=2026-01-02T03%3A04%3A05Z", "", ""}},
		"due": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Due(ctx, fleet.Clusters, client.DueOptions{Backoff: fleet.Backoff{NotReady: 10 * time.Second, Ready: 30 * time.Minute}})
			return err
		}, sent{"GET", "/v1/clusters?backoffNotReady=10s&backoffReady=30m0s&due=true&view=brief", "", ""}},
		"a list that is counted": {func(ctx context.Context, c *client.Client) error {
			_, err := c.List(ctx, fleet.Clusters, client.ListOptions{Count: true})
			return err
		}, sent{"GET", "/v1/clusters?count=true", "", ""}},
		"hold a shard": {func(ctx context.Context, c *client.Client) error {
			_, err := c.HoldShard(ctx, "one", fleet.NewShard{Holder: "h", ResourceType: fleet.Clusters, BackoffNotReady: "1s", BackoffReady: "2s", PollInterval: "3s"})
			return err
		}, sent{"PUT", "/v1/shards/one", "application/json", `{"holder":"h","resourceType":"clusters","selector":"","backoffNotReady":"1s","backoffReady":"2s","pollInterval":"3s"}`}},
		"read a shard": {func(ctx context.Context, c *client.Client) error { _, err := c.Shard(ctx, "one"); return err },
			sent{"GET", "/v1/shards/one", "", ""}},
		"list shards": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Shards(ctx, fleet.Clusters, 5, "c")
			return err
		}, sent{"GET", "/v1/shards?continue=c&limit=5&resourceType=clusters", "", ""}},
		"release a shard": {func(ctx context.Context, c *client.Client) error { return c.ReleaseShard(ctx, "one", "h") },
			sent{"DELETE", "/v1/shards/one?holder=h", "", ""}},
		"coverage": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Coverage(ctx, fleet.Clusters)
			return err
		},
			sent{"GET", "/v1/shards/coverage?resourceType=clusters", "", ""}},
		"audit": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Audit(ctx, client.AuditOptions{Principal: "p", Action: fleet.ActionDelete, ResourceType: "clusters", ResourceID: "i",
				Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Limit: 5})
			return err
		}, sent{"GET", "/v1/audit?action=delete&limit=5&principal=p&resourceId=i&resourceType=clusters&since=2026-01-02T03%3A04%3A05Z", "", ""}},
		"schema": {func(ctx context.Context, c *client.Client) error { _, err := c.Schema(ctx, fleet.Clusters); return err },
			sent{"GET", "/v1/schemas/clusters", "", ""}},
		"published": {func(ctx context.Context, c *client.Client) error {
			return c.Published(ctx, fleet.Clusters, fleet.Published{Tokens: []string{"t"}, BackoffNotReady: "1s", BackoffReady: "2s"})
		}, sent{"POST", "/v1/clusters/published", "application/json", `{"tokens":["t"],"backoffNotReady":"1s","backoffReady":"2s"}`}},
		"report": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Report(ctx, fleet.Clusters, "i", fleet.NewReport{AdapterName: "dns", Phase: fleet.ReportRunning})
			return err
		}, sent{"POST", "/v1/clusters/i/statuses", "application/json", `{"adapter_name":"dns","phase":"Running"}`}},
		"reports": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Reports(ctx, fleet.Clusters, "i", "dns", 7, "c")
			return err
		}, sent{"GET", "/v1/clusters/i/statuses?adapter=dns&continue=c&limit=7", "", ""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got sent
			c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = sent{r.Method, r.RequestURI, r.Header.Get("Content-Type"), string(bytes.TrimSpace(body))}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"kind":"DueList","items":[],"asOf":"2026-01-02T03:04:05.000000Z"}`)
			})
			if err := tt.do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("sent\n%+v, want\n%+v", got, tt.want)
			}
		})
	}
}

func TestTheIdempotencyKeyIsSent(t *testing.T) {
	c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"name":"`+r.Header.Get("Idempotency-Key")+`"}`)
	})
	r, err := c.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: "a"}, client.IdempotencyKey("k-1"))
	if err != nil || r.Name != "k-1" {
		t.Errorf("sent %q, %v", r.Name, err)
	}
}

func TestConditionsAreSent(t *testing.T) {
	version := "m2.s0"
	c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("If-None-Match") == `"`+version+`"`:
			w.WriteHeader(http.StatusNotModified)
		case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != `"`+version+`"`:
			w.WriteHeader(http.StatusPreconditionFailed)
		default:
			_, _ = io.WriteString(w, `{"resource_version":"`+version+`"}`)
		}
	})
	for known, want := range map[string]bool{version: false, "m1.s0": true} {
		r, changed, err := c.GetIfChanged(t.Context(), fleet.Clusters, "i", known)
		if err != nil || changed != want || (r.ResourceVersion == version) != want {
			t.Errorf("known %s: got %q, changed %v, %v", known, r.ResourceVersion, changed, err)
		}
		_, err = c.Patch(t.Context(), fleet.Clusters, "i", map[string]any{}, client.IfMatch(known))
		deleted := c.Delete(t.Context(), fleet.Clusters, "i", client.IfMatch(known))
		if stale := fleet.StaleVersion; (fleet.ErrorCode(err) == stale) != want || (fleet.ErrorCode(deleted) == stale) != want {
			t.Errorf("known %s: patch %v, delete %v", known, err, deleted)
		}
	}
}

func TestAllWalksEveryPage(t *testing.T) {
	pages := map[string]fleet.List{
		"":  {Items: []fleet.Resource{{ID: "a"}, {ID: "b"}}, Continue: "1"},
		"1": {Continue: "2"}, // an empty page is not the end
		"2": {Items: []fleet.Resource{{ID: "c"}}, Continue: "3"},
	}
	c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Query().Get("continue")]
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	var ids []string
	var last error
	for r, err := range c.All(t.Context(), fleet.Clusters, client.ListOptions{}) {
		if last = err; err == nil {
			ids = append(ids, r.ID)
		}
	}
	if got := strings.Join(ids, ""); got != "abc" || fleet.ErrorCode(last) != fleet.Unavailable {
		t.Errorf("walked %q and then %v, want abc and then unavailable", got, last)
	}
	for range c.All(t.Context(), fleet.Clusters, client.ListOptions{}) {
		break // must not panic
	}
}
